//! Folders of images as people have them, through the real binary: one bad image ends no command,
//! and what is left out or passed over is said.

mod common;
#[path = "folders/packed.rs"]
mod packed;

use std::path::Path;
use std::process::Output;

use common::{Project, field, ok, png};
use packed::{parquet, picture, shard};
use serde_json::Value;

impl Project {
    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// One epoch over `images` into `out`, with the default batch.
    fn pretrain_by_default(&self, images: &str, out: &str, more: &[&str]) -> Output {
        let (images, out) = (self.text(images), self.text(out));
        let mut args = vec!["pretrain", "barlow-twins", "--json", "--images", &images];
        args.extend(["--out", &out, "--set", "train.epochs=1", "--set", "encoder.base_width=2"]);
        args.extend(["--set", "barlow_twins.projector=[8, 8]", "--set", "eval.knn_k=1"]);
        args.extend(more);
        self.selfsame(&args)
    }

    /// The same with batches of four; the summary.
    fn pretrain(&self, images: &str, out: &str, more: &[&str]) -> String {
        let more = [&["--set", "train.batch_size=4"][..], more].concat();
        ok(&self.pretrain_by_default(images, out, &more))
    }

    /// Images of each of some classes; the folder's name ends with the class.
    fn classes(&self, folder: &str, classes: usize, each: usize) {
        for class in 0..classes {
            for i in 0..each {
                let path = format!("{folder}/{class:02}/{i:02}.png");
                png(&self.path(&path), (class * 37 + i) as u8);
            }
        }
    }

    /// The lines of a run's list of images that were left out.
    fn skipped(&self, run: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(run).join("skipped.jsonl")).unwrap();
        text.lines().map(json).collect()
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All commands that read images, on a set of 60 of which those that `bad` names cannot be read.
fn bad_images_end_no_command(project: &Project, images: &str, bad: &[&str]) {
    let readable = 60.0 - bad.len() as f64;
    let summary = project.pretrain(images, "run", &[]);
    assert_eq!(field(&summary, "skipped_images"), bad.len() as f64);
    assert_eq!(field(&summary, "train_images") + field(&summary, "test_images"), readable);
    assert!((0.0..=1.0).contains(&field(&summary, "knn_top1")));
    let named = |text: &str| bad.iter().all(|name| text.contains(name));
    let skipped = project.skipped("run");
    assert_eq!(skipped.len(), bad.len(), "{skipped:?}");
    for (line, name) in skipped.iter().zip(bad) {
        let [path, reason] = ["path", "reason"].map(|key| line[key].as_str().unwrap());
        assert!(path.contains(name) && !reason.is_empty(), "{line}");
    }

    let run = project.text("run");
    let scored = project.selfsame(&["eval", &run, "--quick", "--json"]);
    assert_eq!(field(&ok(&scored), "knn_top1"), field(&summary, "knn_top1"));
    assert!(named(&stderr(&scored)), "{}", stderr(&scored));

    let (folder, out) = (project.text(images), project.text("features.npy"));
    for (split, rows) in [
        ("all", readable),
        ("train", field(&summary, "train_images")),
        ("test", field(&summary, "test_images")),
    ] {
        let args = ["embed", &run, "--images", &folder, "--split", split, "--out", &out];
        let embedded = project.selfsame(&args);
        ok(&embedded);
        assert!(named(&stderr(&embedded)), "{}", stderr(&embedded));
        let names = std::fs::read_to_string(project.path("features.txt")).unwrap();
        assert_eq!(names.lines().count() as f64, rows, "{names}");
        let mut seen: Vec<&str> = names.lines().collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len() as f64, rows, "each name once");
        assert!(!bad.iter().any(|bad| names.lines().any(|name| name.ends_with(bad))), "{names}");
        let features = std::fs::read(project.path("features.npy")).unwrap();
        let shape = npyz::NpyFile::new(&features[..]).unwrap().shape().to_vec();
        assert_eq!(shape, [rows as u64, 16]);
    }

    std::fs::write(project.path("query.png"), picture(3)).unwrap();
    let query = project.text("query.png");
    let search = project.selfsame(&["search", &run, "--query", &query, "-k", "60", "--json"]);
    let found = json(&ok(&search));
    // The query is one of them, and is no answer to itself.
    assert_eq!(found[0]["found"].as_array().unwrap().len() as f64, readable - 1.0);
    assert_eq!(found[0]["itself"].as_array().unwrap().len(), 1);
    assert!(named(&stderr(&search)), "{}", stderr(&search));
}

#[test]
fn a_bad_image_in_a_shard_is_named_by_its_key() {
    let project = Project::new();
    let mut images: Vec<Vec<u8>> = (0..60).map(picture).collect();
    images[17] = b"this has never been an image".to_vec();
    shard(&project.path("shards/train-000.tar"), &images);
    bad_images_end_no_command(&project, "shards", &["train-000.tar/0017.png"]);
}

#[test]
fn a_null_and_junk_in_a_parquet_file_are_named_by_their_rows() {
    let project = Project::new();
    let mut images: Vec<_> = (0..60).map(|number| Some(picture(number))).collect();
    images[17] = Some(b"this has never been an image".to_vec());
    images[41] = None;
    parquet(&project.path("hub/data/train-00000-of-00001.parquet"), &images);
    let file = "train-00000-of-00001.parquet";
    let names = [format!("{file}/row 17"), format!("{file}/row 41")];
    bad_images_end_no_command(&project, "hub", &[&names[0], &names[1]]);
}

/// Of a folder that weighs more than 1 GiB, nothing is decoded on opening.
#[test]
fn bad_images_of_a_heavy_folder_are_left_out_before_training() {
    let project = Project::new();
    project.classes("photos", 2, 12);
    // Without content: it takes no space, and is refused by its size.
    let big = std::fs::File::create(project.path("photos/00/big.png")).unwrap();
    big.set_len((1 << 30) + 1).unwrap();
    let whole = std::fs::read(project.path("photos/01/00.png")).unwrap();
    std::fs::write(project.path("photos/01/half.png"), &whole[..whole.len() / 2]).unwrap();
    for (run, more) in [
        ("plain", &["--set", "data.pack=auto"][..]),
        ("never-evaluated", &["--set", "eval.every=0"]),
        ("packed", &["--set", "data.pack=on"]),
    ] {
        let summary = project.pretrain("photos", run, more);
        assert_eq!(field(&summary, "skipped_images"), 2.0, "{run}");
        let images = field(&summary, "train_images") + field(&summary, "test_images");
        assert_eq!(images, 24.0, "{run}: {summary}");
        assert!((0.0..=1.0).contains(&field(&summary, "knn_top1")), "{run}");
        let mut names: Vec<_> = project
            .skipped(run)
            .iter()
            .map(|line| line["path"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        assert!(
            matches!(&names[..], [big, half] if big.ends_with("big.png") && half.ends_with("half.png")),
            "{names:?}"
        );
    }
    let run = project.text("plain");
    let scored = project.selfsame(&["eval", &run, "--quick", "--json"]);
    assert!((0.0..=1.0).contains(&field(&ok(&scored), "knn_top1")));
}

#[test]
fn the_names_of_embedded_images_are_in_the_order_of_the_rows_and_missing_ones_are_told() {
    let project = Project::new();
    for i in 0..12u8 {
        png(&project.path(&format!("photos/{i:02}.png")), i * 20);
    }
    project.pretrain("photos", "run", &[]);
    // Since then, one image was damaged and one was added.
    std::fs::write(project.path("photos/04.png"), b"no").unwrap();
    png(&project.path("photos/99.png"), 255);
    let [run, photos, out] = ["run", "photos", "f.npy"].map(|name| project.text(name));
    let output = project.selfsame(&["embed", &run, "--images", &photos, "--out", &out]);
    ok(&output);
    let names = std::fs::read_to_string(project.path("f.txt")).unwrap();
    let order = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 99];
    let expected = order.map(|i| project.text(&format!("photos/{i:02}.png")) + "\n").concat();
    assert_eq!(names, expected);
    assert!(stderr(&output).contains("04.png"), "{}", stderr(&output));

    // A row is that of its name: the image is the most like itself.
    let one = project.text("one");
    std::fs::create_dir(&one).unwrap();
    std::fs::copy(project.path("photos/07.png"), project.path("one/07.png")).unwrap();
    let single = project.text("one.npy");
    ok(&project.selfsame(&["embed", &run, "--images", &one, "--out", &single]));
    let values = |path: &str| -> Vec<f32> {
        npyz::NpyFile::new(&std::fs::read(path).unwrap()[..]).unwrap().into_vec().unwrap()
    };
    let (all, alone) = (values(&out), values(&single));
    let row = &all[6 * alone.len()..7 * alone.len()];
    assert!(row.iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-4), "{row:?} {alone:?}");
}

#[test]
fn imagenet_s_folders_give_an_accuracy() {
    let project = Project::new();
    project.classes("imagenet/train", 3, 8);
    project.classes("imagenet/val", 3, 2);
    for i in 0..5u8 {
        png(&project.path(&format!("imagenet/test/ILSVRC2012_test_{i}.png")), i);
    }
    let output = project.pretrain_by_default("imagenet", "run", &["--set", "train.batch_size=4"]);
    let summary = ok(&output);
    assert_eq!((field(&summary, "train_images"), field(&summary, "test_images")), (24.0, 6.0));
    assert!((0.0..=1.0).contains(&field(&summary, "knn_top1")), "{summary}");
    assert!(stderr(&output).contains("test/: 5 images not used"), "{}", stderr(&output));
}

#[test]
fn a_tiny_folder_gets_a_smaller_batch_but_only_where_nobody_chose_one() {
    let project = Project::new();
    for i in 0..12u8 {
        png(&project.path(&format!("photos/{i:02}.png")), i * 20);
    }
    let output = project.pretrain_by_default("photos", "run", &[]);
    let summary = ok(&output);
    assert!(field(&summary, "steps") >= 1.0, "{summary}");
    let said = stderr(&output);
    assert!(said.lines().any(|l| l.contains("batch") && l.contains("12")), "{said}");
    let config = std::fs::read_to_string(project.path("run/config.toml")).unwrap();
    let config: toml::Table = toml::from_str(&config).unwrap();
    let batch = config["train"]["batch_size"].as_integer().unwrap();
    assert!((2..=12).contains(&batch), "{batch}");

    let output = project.pretrain_by_default("photos", "never", &["--set", "train.batch_size=64"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("train.batch_size"), "{}", stderr(&output));
    assert!(!project.path("never").exists());

    // The batch that the run settled on is the one it goes on with.
    let resumed = project.pretrain_by_default("photos", "run", &["--resume", "auto"]);
    ok(&resumed);
}

#[test]
fn one_small_image_does_not_decide_how_large_views_are() {
    let project = Project::new();
    let image = |name: &str, side: u32| {
        let path = project.path(&format!("photos/{name}.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pixel = |x: u32, y: u32| image::Rgb([(x * 3) as u8, (y * 3) as u8, name.len() as u8]);
        image::RgbImage::from_fn(side, side, pixel).save(path).unwrap();
    };
    image("a-thumbnail", 16);
    (0..11).for_each(|i| image(&"b".repeat(i + 1), 64));
    project.pretrain("photos", "run", &[]);
    let config = std::fs::read_to_string(project.path("run/config.toml")).unwrap();
    let config: toml::Table = toml::from_str(&config).unwrap();
    assert_eq!(config["views"]["size"].as_integer(), Some(64), "{config}");
}

#[test]
fn a_run_inside_of_the_image_folder_is_not_trained_on_by_the_next_one() {
    let project = Project::new();
    for i in 0..12u8 {
        png(&project.path(&format!("photos/{i:02}.png")), i * 20);
    }
    project.classes("classes", 2, 10);
    for (images, expected) in [("photos", 12.0), ("classes", 18.0)] {
        for run in ["runs/first", "runs/second", "third"] {
            let summary = project.pretrain(images, &format!("{images}/{run}"), &[]);
            assert_eq!(field(&summary, "train_images"), expected, "{images} {run}");
            assert_eq!(field(&summary, "skipped_images"), 0.0, "{images} {run}");
        }
    }
}

#[test]
fn fewer_images_than_classes() {
    let project = Project::new();
    project.classes("photos", 40, 3);
    let summary = project.pretrain("photos", "run", &["--limit", "39"]);
    assert_eq!((field(&summary, "train_images"), field(&summary, "test_images")), (39.0, 40.0));
    assert!((0.0..=1.0).contains(&field(&summary, "knn_top1")), "{summary}");
    let run = project.text("run");
    let scored = project.selfsame(&["eval", &run, "--quick", "--json"]);
    assert_eq!(field(&ok(&scored), "knn_top1"), field(&summary, "knn_top1"));
}

#[test]
fn a_folder_is_described_before_anything_is_trained() {
    let project = Project::new();
    project.classes("photos/train", 2, 12);
    project.classes("photos/val", 2, 3);
    for i in 0..7u8 {
        png(&project.path(&format!("photos/unlabeled/{i}.png")), i);
    }
    std::fs::write(project.path("photos/train/01/bad.png"), b"no").unwrap();
    std::fs::write(project.path("photos/IMG_1.HEIC"), b"no").unwrap();
    let photos = project.text("photos");
    let text = ok(&project.selfsame(&["dataset", "inspect", &photos]));
    for words in [
        "24",
        "6",
        "00",
        "01",
        "unlabeled/: 7 images not used",
        ".heic 1",
        "bad.png",
        "can be measured",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    let value = json(&ok(&project.selfsame(&["dataset", "inspect", &photos, "--json"])));
    assert_eq!((&value["train"]["images"], &value["test"]["images"]), (&24.into(), &6.into()));
    assert_eq!(value["train"]["classes"], serde_json::json!({"00": 12, "01": 12}), "{value}");
    assert_eq!(value["passed_over"][0]["place"], "unlabeled/", "{value}");
    assert_eq!(value["passed_over"][0]["images"], 7, "{value}");
    assert!(value["skipped"][0]["path"].as_str().unwrap().ends_with("bad.png"), "{value}");
    assert!(!project.path("photos/config.toml").exists());

    let nothing = project.text("nothing");
    let output = project.selfsame(&["dataset", "inspect", &nothing]);
    assert!(matches!(output.status.code(), Some(1 | 2)) && !stderr(&output).contains("panicked"));
}

#[test]
fn an_evaluation_on_other_images_of_the_same_name_warns() {
    let project = Project::new();
    project.classes("photos", 2, 12);
    project.pretrain("photos", "run", &[]);
    let run = project.text("run");
    let eval = || project.selfsame(&["eval", &run, "--quick", "--json"]);
    let same = eval();
    ok(&same);
    assert!(!stderr(&same).contains("warning"), "{}", stderr(&same));

    std::fs::remove_dir_all(project.path("photos")).unwrap();
    project.classes("photos", 3, 8);
    let other = eval();
    ok(&other);
    let said = stderr(&other);
    let line = said.lines().find(|line| line.contains("warning")).unwrap_or_default();
    assert!(line.contains("photos"), "{said}");
}

/// A path is taken as it is, also where a person would not write it so.
#[test]
fn odd_names_of_folders() {
    let project = Project::new();
    for name in ["with space/ünïcode 🐈/my photos.tar", "a/../a", "trailing/"] {
        project.classes(name, 2, 6);
        let run = format!("run-{}", name.len());
        let summary = project.pretrain(name, &run, &[]);
        assert_eq!(field(&summary, "train_images"), 10.0, "{name}");
    }
    let relative = Path::new(".").join("nowhere");
    let args = ["dataset", "inspect", relative.to_str().unwrap()];
    assert_ne!(project.selfsame(&args).status.code(), Some(0));
}
