//! Two BYOL views of an image on one thread: the work of one image in a training batch.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use selfsame_augment::{RgbSource, ViewBuffer, ViewGenerator, ViewKey, ViewPair};

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn noise(width: u32, height: u32) -> Vec<u8> {
    (0..3 * width * height).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn views(c: &mut Criterion) {
    let mut group = c.benchmark_group("augment");
    group.throughput(Throughput::Elements(1));
    for (name, size, pair) in [
        ("two CIFAR views, 32 px", (32, 32), ViewPair::cifar(32, MEAN, STD)),
        ("two BYOL views, 224 px of 500×375", (500, 375), ViewPair::byol(224, MEAN, STD)),
    ] {
        let pair = pair.expect("the presets are valid");
        let pixels = noise(size.0, size.1);
        let source = RgbSource::new(&pixels, size.0, size.1).expect("the size is right");
        let mut out = vec![0.0; 3 * pair.view_size(0).pow(2)];
        let mut image = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                image += 1;
                for view in 0..2 {
                    let key = ViewKey { seed: 0, epoch: 0, image, view };
                    let buffer = ViewBuffer::Planar(&mut out);
                    pair.render(source, view as usize, &mut key.rng(), buffer)
                        .expect("the buffer fits");
                    black_box(&out);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, views);
criterion_main!(benches);
