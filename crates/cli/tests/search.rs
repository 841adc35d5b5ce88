//! `search` and `embed`, and what a run says about the preparation of images, through the real
//! binary.

mod common;

use std::path::{Path, PathBuf};

use common::{field, folder_of_images, ok, png, selfsame};
use serde_json::Value;

/// A run of a second on twelve images, in `root/run`, and the images' folder.
fn run(root: &Path) -> (String, PathBuf) {
    let photos = folder_of_images(root, 12);
    let out = root.join("run").to_str().unwrap().to_owned();
    let mut args = vec!["pretrain", "byol", "--images", photos.to_str().unwrap(), "--out", &out];
    for setting in ["train.epochs=1", "train.batch_size=4", "encoder.base_width=2"] {
        args.extend(["--set", setting]);
    }
    ok(&selfsame(&args, "2"));
    (out, photos)
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The kept features of the run.
fn indices(run: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new(run).join("features")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("index-"));
    paths.sort();
    paths
}

/// Gives the images of an index each other's features: the first one the last one's, and so on.
fn reverse_features(index: &Path) {
    let mut bytes = std::fs::read(index).unwrap();
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let info = metadata.info("features").unwrap();
    let (from, to) = info.data_offsets;
    let row = info.shape[1] * size_of::<f32>();
    // Eight bytes say how long the header is.
    let features = &mut bytes[8 + header + from..8 + header + to];
    let reversed: Vec<u8> = features.rchunks(row).flatten().copied().collect();
    features.copy_from_slice(&reversed);
    std::fs::write(index, bytes).unwrap();
}

#[test]
fn a_search_finds_the_others_and_a_second_one_reads_no_image() {
    let temp = tempfile::tempdir().unwrap();
    let (run, photos) = run(temp.path());
    std::fs::write(photos.join("broken.png"), b"no image").unwrap();
    // The same picture under another name, which is not in the folder.
    let query = temp.path().join("query.png");
    std::fs::copy(photos.join("03.png"), &query).unwrap();
    let query = query.to_str().unwrap();
    let picture = temp.path().join("found.png");
    let folder = photos.to_str().unwrap();
    let search = ["search", &run, "--query", query, "-k", "4", "--images", folder, "--json"];
    let drawn = [&search[..], &["--out", picture.to_str().unwrap()]].concat();
    let first = selfsame(&drawn, "2");
    let found: Value = serde_json::from_str(&ok(&first)).unwrap();
    let near = found[0]["found"].as_array().unwrap();
    assert_eq!(near.len(), 4);
    assert!(near.iter().all(|hit| !hit["image"].as_str().unwrap().ends_with("03.png")), "{found}");
    let itself = found[0]["itself"].as_array().unwrap();
    assert!(itself.len() == 1 && itself[0].as_str().unwrap().ends_with("03.png"), "{found}");
    for text in ["the query itself", "03.png", "broken.png"] {
        assert!(stderr(&first).contains(text), "{text}: {}", stderr(&first));
    }
    assert!(image::open(&picture).unwrap().width() > 100);

    // What is kept is believed: with other images' features it finds other images.
    let kept = indices(&run);
    assert_eq!(kept.len(), 1);
    reverse_features(&kept[0]);
    let second = selfsame(&search, "2");
    assert_ne!(serde_json::from_str::<Value>(&ok(&second)).unwrap()[0]["found"], found[0]["found"]);
    assert_eq!(stderr(&second), stderr(&first));

    // It may be deleted or damaged: then the images are read again.
    std::fs::write(&kept[0], b"not what it was").unwrap();
    let third = selfsame(&search, "2");
    assert_eq!(serde_json::from_str::<Value>(&ok(&third)).unwrap(), found);
    // Nor is it believed of files that were changed and had their time set back.
    let (file, time) = (photos.join("05.png"), std::fs::metadata(photos.join("05.png")).unwrap());
    std::fs::copy(photos.join("11.png"), &file).unwrap();
    let opened = std::fs::File::options().write(true).open(&file).unwrap();
    opened.set_modified(time.modified().unwrap()).unwrap();
    selfsame(&search, "2");
    assert_eq!(indices(&run).len(), 2);
}

#[test]
fn a_search_knows_new_images_and_few_ones() {
    let temp = tempfile::tempdir().unwrap();
    let (run, photos) = run(temp.path());
    let query = photos.join("03.png");
    let query = query.to_str().unwrap();
    // The images of the run, without a word about others.
    let own = selfsame(&["search", &run, "--query", query], "2");
    assert_eq!(ok(&own).lines().count(), 10);
    assert!(!stderr(&own).contains("warning"), "{}", stderr(&own));

    let others = temp.path().join("others");
    for i in 0..3u8 {
        png(&others.join(format!("{i}.png")), 80 * i);
    }
    let others = others.to_str().unwrap();
    let search = ["search", &run, "--query", query, "--images", others];
    assert_eq!(ok(&selfsame(&search, "2")).lines().count(), 3);
    // A new image in the folder is found without being told; it differs from the query by a level.
    png(&Path::new(others).join("new.png"), 31);
    let lines = ok(&selfsame(&search, "2"));
    assert!(lines.lines().next().unwrap().ends_with("new.png"), "{lines}");

    let wrong = selfsame(&["search", &run, "--query", "/nonexistent.png"], "2");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("nonexistent.png"), "{wrong:?}");
}

/// Training leaves out what it cannot read before it notes which files it had.
#[test]
fn a_broken_image_that_training_knew_is_no_other_image() {
    let temp = tempfile::tempdir().unwrap();
    let photos = folder_of_images(temp.path(), 12);
    std::fs::write(photos.join("05b.png"), b"no image").unwrap();
    let (run, photos) = run(temp.path());
    let query = photos.join("03.png");
    let search = ["search", &run, "--query", query.to_str().unwrap()];
    let same = selfsame(&search, "2");
    ok(&same);
    assert!(!stderr(&same).contains("warning"), "{}", stderr(&same));
    png(&photos.join("later.png"), 5);
    let other = selfsame(&search, "2");
    assert!(stderr(&other).contains("warning"), "{}", stderr(&other));
}

#[test]
fn a_run_says_how_images_are_prepared() {
    let temp = tempfile::tempdir().unwrap();
    let (run, photos) = run(temp.path());
    let written = std::fs::read_to_string(Path::new(&run).join("preprocessing.json")).unwrap();
    // The side of images of 12 × 10 pixels, but at least 16.
    assert_eq!(field(&written, "size"), 16.0);
    let written: Value = serde_json::from_str(&written).unwrap();
    let about = |file: &Path| -> Value {
        let bytes = std::fs::read(file).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let text = header.metadata().as_ref().unwrap()["selfsame"].clone();
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(about(&Path::new(&run).join("encoder.safetensors"))["preprocessing"], written);
    let out = temp.path().join("f.safetensors");
    let args = ["embed", &run, "--images", photos.to_str().unwrap()];
    ok(&selfsame(&[&args[..], &["--out", out.to_str().unwrap()]].concat(), "2"));
    assert_eq!(about(&out)["preprocessing"], written);
}
