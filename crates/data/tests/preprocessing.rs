//! The pixels that evaluation gives the encoder, compared with `docs/preprocess.py`: Pillow,
//! PyTorch and torchvision.

use std::path::Path;

use selfsame_augment::{PlainView, RgbSource, ViewBuffer, ViewGenerator, ViewKey};
use selfsame_data::decode_file;

const SIZE: u32 = 24;

/// `preprocessing.py` beside this file made the images and the numbers.
#[test]
fn pixels_for_the_encoder_are_those_of_the_python_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/preprocessing");
    let view = PlainView::new(SIZE, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]).unwrap();
    let mut kinds = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "f32") {
            continue;
        }
        let image = decode_file(&path).unwrap();
        let mut found = vec![0.0; 3 * (SIZE * SIZE) as usize];
        let mut rng = ViewKey { seed: 0, epoch: 0, image: 0, view: 0 }.rng();
        let source = RgbSource::try_from(&image).unwrap();
        view.render(source, 0, &mut rng, ViewBuffer::Planar(&mut found)).unwrap();
        let mut reference = path.clone().into_os_string();
        reference.push(".f32");
        let bytes = std::fs::read(&reference).unwrap();
        let expected = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        assert_eq!(bytes.len(), 4 * found.len());
        let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // One level of 255 would be 0.013 to 0.02.
        assert!(worst < 2e-5, "{} is off by {worst}", path.display());
        kinds += 1;
    }
    assert_eq!(kinds, 10);
}
