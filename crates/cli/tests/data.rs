//! End-to-end runs of the real binary on data of many kinds.

mod common;

use std::path::{Path, PathBuf};

use common::{Project, field, folder_of_images, ok, png};

impl Project {
    /// The summary and the encoder's bytes of a run of one epoch of a few steps.
    fn pretrain(&self, images: &Path, out: &str, more: &[&str]) -> (String, Vec<u8>) {
        let out = self.path(out);
        let mut args = vec!["pretrain", "barlow-twins", "--json"];
        args.extend(["--images", images.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        args.extend(["--set", "train.batch_size=4", "--set", "train.epochs=1"]);
        args.extend(["--set", "encoder.base_width=2", "--set", "barlow_twins.projector=[8, 8]"]);
        args.extend(["--set", "eval.knn_k=1"]);
        args.extend(more);
        let summary = ok(&self.selfsame(&args));
        (summary, std::fs::read(out.join("encoder.safetensors")).unwrap())
    }

    fn packs(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.path("datasets/.packs")) else { return vec![] };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|e| e == "pack")).collect()
    }
}

#[test]
fn a_pack_is_made_once_and_changes_nothing_but_where_pixels_come_from() {
    let project = Project::new();
    let photos = folder_of_images(project.folder.path(), 12);
    let (_, plain) = project.pretrain(&photos, "plain", &["--set", "data.pack=off"]);
    assert!(project.packs().is_empty());
    let packed = ["--set", "data.pack=on", "--set", "data.pack_side=0"];
    let (_, first) = project.pretrain(&photos, "first", &packed);
    assert_eq!(plain, first, "the same pixels");
    let packs = project.packs();
    assert_eq!(packs.len(), 1);

    let made = std::fs::metadata(&packs[0]).unwrap().modified().unwrap();
    assert_eq!(project.pretrain(&photos, "second", &packed).1, first);
    assert_eq!(project.packs(), packs);
    assert_eq!(std::fs::metadata(&packs[0]).unwrap().modified().unwrap(), made);

    // A damaged pack, and then none.
    let bytes = std::fs::read(&packs[0]).unwrap();
    std::fs::write(&packs[0], &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(project.pretrain(&photos, "damaged", &packed).1, first);
    std::fs::remove_file(&packs[0]).unwrap();
    assert_eq!(project.pretrain(&photos, "removed", &packed).1, first);

    // Another image is another pack and another run.
    png(&photos.join("03.png"), 255);
    assert_ne!(project.pretrain(&photos, "changed", &packed).1, first);
    assert_eq!(project.packs().len(), 2);
}

/// 30 images of each of three classes.
fn classes(project: &Project) -> PathBuf {
    let folder = project.path("classes");
    for class in 0..3u8 {
        for i in 0..30u8 {
            png(&folder.join(format!("{class}/{i:02}.png")), class * 80 + i);
        }
    }
    folder
}

#[test]
fn parts_of_a_set_are_what_the_settings_say() {
    let project = Project::new();
    let images = classes(&project);
    let count = |name: &str, more: &[&str]| {
        let (summary, encoder) = project.pretrain(&images, name, more);
        (field(&summary, "train_images"), field(&summary, "test_images"), encoder)
    };
    // Every tenth of a class is the test split.
    let (train, test, all) = count("all", &[]);
    assert_eq!((train, test), (81.0, 9.0));
    let (train, test, _) = count("third", &["--fraction", "0.34"]);
    assert_eq!((train, test), (27.0, 9.0));
    let (train, test, held) = count("held", &["--set", "data.validation=0.25"]);
    assert_eq!((train, test), (60.0, 21.0));
    let (_, _, again) = count("again", &["--set", "data.validation=0.25"]);
    let other = ["--set", "data.validation=0.25", "--set", "data.split_seed=1"];
    let (_, _, other) = count("other", &other);
    assert!(held == again && held != other && held != all);
    // Labels are for the probes: what is trained is the same.
    let (_, _, few) = count("few", &["--set", "eval.labels=2"]);
    assert_eq!(few, all);
}

/// IDX files of `count` images of 4×4 and their labels.
fn idx_files(folder: &Path, prefix: &str, count: u32) {
    std::fs::create_dir_all(folder).unwrap();
    let header = |numbers: &[u32]| -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    };
    let mut images = header(&[0x803, count, 4, 4]);
    images.extend((0..count * 16).map(|i| (i * 37) as u8));
    std::fs::write(folder.join(format!("{prefix}-images-idx3-ubyte")), images).unwrap();
    let mut labels = header(&[0x801, count]);
    labels.extend((0..count).map(|i| (i % 10) as u8));
    std::fs::write(folder.join(format!("{prefix}-labels-idx1-ubyte")), labels).unwrap();
}

#[test]
fn a_set_is_downloaded_verified_and_described() {
    let project = Project::new();
    let mirror = project.path("mirror");
    idx_files(&mirror, "train", 20);
    idx_files(&mirror, "t10k", 10);
    let mut manifest = "description = \"Digits.\"\nlayout = \"idx\"\ntrain_images = 20\n\
        test_images = 10\nlicence = \"MIT\"\ncitation = \"nobody\"\nhomepage = \"none\"\n"
        .to_owned();
    for entry in std::fs::read_dir(&mirror).unwrap() {
        let entry = entry.unwrap();
        let (name, bytes) = (entry.file_name(), entry.metadata().unwrap().len());
        let url = format!("https://digits.invalid/{}", name.to_str().unwrap());
        manifest += &format!("[[files]]\nurl = {url:?}\nbytes = {bytes}\n");
    }
    std::fs::write(project.path("datasets/digits.toml"), manifest).unwrap();
    let failed = |args: &[&str]| {
        let output = project.selfsame(args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).unwrap()
    };

    let absent = failed(&["pretrain", "byol", "--dataset", "digits"]);
    assert!(absent.contains("dataset download digits"), "{absent}");
    let offline = failed(&["dataset", "download", "digits", "--offline"]);
    assert!(offline.contains("https://digits.invalid/t10k-labels-idx1-ubyte"), "{offline}");

    let from = mirror.to_str().unwrap();
    ok(&project.selfsame(&["dataset", "download", "digits", "--offline", "--mirror", from]));
    let verified = ok(&project.selfsame(&["dataset", "verify", "digits", "--json"]));
    let verified: serde_json::Value = serde_json::from_str(&verified).unwrap();
    assert_eq!((&verified["right"], &verified["files"]["right"]), (&true.into(), &4.into()));
    let info = ok(&project.selfsame(&["dataset", "info", "digits"]));
    assert!(info.contains("20 to train on, 10 to test on") && info.contains("nobody"), "{info}");

    idx_files(&project.path("datasets/digits"), "t10k", 9);
    let changed = failed(&["dataset", "verify", "digits"]);
    assert!(changed.contains("changed: t10k-images-idx3-ubyte"), "{changed}");
    assert!(changed.contains("9 images, but there should be 10"), "{changed}");
}

#[test]
fn a_folder_is_imported_with_sums_and_trained_on() {
    let project = Project::new();
    let images = classes(&project);
    ok(&project.selfsame(&["dataset", "import", "mine", images.to_str().unwrap()]));
    ok(&project.selfsame(&["dataset", "verify", "mine"]));
    let listed = ok(&project.selfsame(&["dataset", "list"]));
    assert!(listed.contains("mine"), "{listed}");
    std::fs::write(project.path("datasets/mine/0/00.png"), b"not an image").unwrap();
    let output = project.selfsame(&["dataset", "verify", "mine"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("changed: 0/00.png") && text.contains("unreadable: "), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_import_under_a_known_name_is_compared_with_its_manifest() {
    let project = Project::new();
    let images = classes(&project);
    let images = images.to_str().unwrap();
    // Fashion-MNIST is IDX files.
    let output = project.selfsame(&["dataset", "import", "fashion-mnist", images]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("choose another name"), "{said}");
    assert_eq!(std::fs::read_dir(project.path("datasets")).unwrap().count(), 0);

    let output = project.selfsame(&["dataset", "import", "imagenette", images]);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    ok(&output);
    assert!(said.contains("warning: imagenette should have 9469 images to train on"), "{said}");
    assert!(said.contains("81 were found"), "{said}");
    assert!(!said.contains(".import-"), "{said}");
}

/// Loss of every step.
fn losses(run: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|line| line["loss"].as_f64()).collect()
}

/// The same crops, colours and blurs, in images of different sizes; and a run may change over on
/// its way.
#[test]
fn views_made_on_the_device_train_the_same() {
    let project = Project::new();
    let images = project.path("photos");
    for i in 0..24u32 {
        let picture = image::RgbImage::from_fn(20 + i % 7, 30 - i % 5, |x, y| {
            image::Rgb([(9 * x + 5 * i) as u8, (8 * y) as u8, (3 * (x + y)) as u8])
        });
        std::fs::create_dir_all(&images).unwrap();
        picture.save(images.join(format!("{i:02}.png"))).unwrap();
    }
    let calm = ["--set", "views.size=16", "--set", "views.blur_probability=[0.5, 0.5]"];
    let calm = [&calm[..], &["--set", "optimizer.learning_rate=1e-5"]].concat();
    project.pretrain(&images, "on-the-cpu", &calm);
    let device = [&calm[..], &["--set", "views.on_device=true"]].concat();
    project.pretrain(&images, "on-the-device", &device);
    let part = [&device[..], &["--set", "train.stop_after=0.5"]].concat();
    project.pretrain(&images, "changed", &part);
    project.pretrain(&images, "changed", &[&calm[..], &["--resume", "auto"]].concat());
    let on_the_cpu = losses(&project.path("on-the-cpu"));
    assert_eq!(on_the_cpu.len(), 6);
    // Rounding tells them apart.
    assert_ne!(losses(&project.path("on-the-device")), on_the_cpu);
    for run in ["on-the-device", "changed"] {
        for (a, b) in losses(&project.path(run)).iter().zip(&on_the_cpu) {
            assert!((a - b).abs() < 1e-3 * b.abs().max(1.0), "{run}: {a} {b}");
        }
    }
}
