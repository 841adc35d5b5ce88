//! End-to-end runs of the real binary.

mod common;

use std::path::Path;

use common::{Project, error, field, folder_of_images, ok, pretrain, selfsame};

#[test]
fn a_run_leaves_everything_it_promises_and_can_be_used() {
    let temp = tempfile::tempdir().unwrap();
    for (method, more) in [
        ("byol", &["--set", "byol.projector_hidden=8", "--set", "byol.projector_dim=4"][..]),
        ("barlow-twins", &["--set", "barlow_twins.projector=[8, 8]"][..]),
    ] {
        let run = temp.path().join(method);
        let summary = ok(&pretrain(method, &run, more, "2"));
        for name in ["knn_top1", "knn_top1_random_init", "knn_top1_pixels", "linear_top1"] {
            assert!((0.0..=1.0).contains(&field(&summary, name)), "{name}");
        }
        assert_eq!(field(&summary, "steps"), 6.0);
        assert!(summary.contains("\"finished\": true"), "{summary}");
        assert!(
            field(&summary, "effective_rank") >= 1.0 && field(&summary, "images_per_second") > 0.0
        );
        for file in [
            "config.toml",
            "metrics.jsonl",
            "summary.json",
            "report.html",
            "report.json",
            "encoder.safetensors",
            "neighbours.png",
            "checkpoints/step-0000000006.safetensors",
            "checkpoints/best.safetensors",
        ] {
            assert!(run.join(file).is_file(), "{file}");
        }
        let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let steps = metrics.lines().filter(|l| l.contains("learning_rate")).count();
        assert_eq!(steps, 6, "{metrics}");

        let run = run.to_str().unwrap();
        let scored = ok(&selfsame(&["eval", run, "--quick", "--json"], "2"));
        assert_eq!(field(&scored, "knn_top1"), field(&summary, "knn_top1"));
        assert_eq!(field(&scored, "linear_top1"), field(&summary, "linear_top1"));
        let best = format!("{run}/checkpoints/best.safetensors");
        ok(&selfsame(&["eval", run, "--quick", "--weights", &best], "2"));
    }
}

/// Weights of a small run.
fn weights(method: &str, folder: &Path, name: &str, more: &[&str], threads: &str) -> Vec<u8> {
    let run = folder.join(name);
    ok(&pretrain(method, &run, more, threads));
    std::fs::read(run.join("encoder.safetensors")).unwrap()
}

#[test]
fn the_same_command_gives_the_same_bits_on_one_and_on_two_threads() {
    let temp = tempfile::tempdir().unwrap();
    for method in ["byol", "barlow-twins"] {
        let name = |run: &str| format!("{method}-{run}");
        let one = weights(method, temp.path(), &name("a"), &[], "2");
        assert!(one == weights(method, temp.path(), &name("b"), &[], "2"), "not repeatable");
        let single = weights(method, temp.path(), &name("c"), &["--threads", "1"], "1");
        assert!(one == single, "threads change the result");
        let other = weights(method, temp.path(), &name("d"), &["--seed", "1"], "2");
        assert!(one != other, "the seed changes nothing");
    }
}

#[test]
fn ndarray_trains_too() {
    let temp = tempfile::tempdir().unwrap();
    for method in ["byol", "barlow-twins"] {
        let run = temp.path().join(method);
        let more = ["--device", "ndarray", "--set", "train.epochs=1"];
        let summary = ok(&pretrain(method, &run, &more, "2"));
        assert!(summary.contains("\"device\": \"ndarray\""), "{summary}");
        assert!(field(&summary, "final_loss").is_finite());
    }
}

#[test]
fn an_unlabelled_folder_with_a_broken_file_trains_and_embeds() {
    let temp = tempfile::tempdir().unwrap();
    let photos = folder_of_images(temp.path(), 12);
    std::fs::write(photos.join("broken.jpg"), b"not a picture").unwrap();
    let photos = photos.to_str().unwrap();
    let run = temp.path().join("run");
    let out = run.to_str().unwrap();
    let settings =
        ["--set", "train.batch_size=4", "--set", "train.epochs=1", "--set", "encoder.base_width=2"];
    let mut args = vec!["pretrain", "byol", "--images", photos, "--out", out, "--json"];
    args.extend(settings);
    let output = selfsame(&args, "2");
    let summary = ok(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("broken.jpg"));
    assert_eq!(field(&summary, "skipped_images"), 1.0);
    assert!(summary.contains("\"knn_top1\": null"), "{summary}");
    assert!(std::fs::read_to_string(run.join("skipped.jsonl")).unwrap().contains("broken.jpg"));

    let file = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
    let safetensors = file("f.safetensors");
    ok(&selfsame(&["embed", out, "--images", photos, "--out", &safetensors], "2"));
    let bytes = std::fs::read(&safetensors).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("features").unwrap().shape(), [12, 16]);
    let labels = tensors.tensor("labels").unwrap();
    assert!(labels.data().iter().all(|b| *b == 0xff), "unlabelled is −1");
    let names = std::fs::read_to_string(file("f.txt")).unwrap();
    assert_eq!(names.lines().count(), 12);

    let npy = file("f.npy");
    ok(&selfsame(&["embed", out, "--images", photos, "--out", &npy], "2"));
    let bytes_of_npy = std::fs::read(&npy).unwrap();
    let array = npyz::NpyFile::new(&bytes_of_npy[..]).unwrap();
    assert_eq!(array.shape(), [12, 16]);
    let values: Vec<f32> = array.into_vec().unwrap();
    let first =
        f32::from_le_bytes(tensors.tensor("features").unwrap().data()[..4].try_into().unwrap());
    assert_eq!(values[0], first);
}

#[test]
fn wrong_usage_is_status_two() {
    for (args, word) in [
        (&["pretrain"][..], "METHOD"),
        (&["pretrain", "mocov9"], "barlow-twins"),
        (&["pretrain", "byol", "--set", "train.epoch=1"], "epoch"),
        (&["pretrain", "byol", "--set", "train.batch_size=1"], "at least 2"),
        (&["pretrain", "byol", "--device", "tpu"], "tpu"),
        (&["pretrain", "byol", "--config", "/nonexistent.toml"], "nonexistent.toml"),
        (&["eval", "/nonexistent"], "there is no run /nonexistent"),
        (&["eval", "/nonexistent", "--seeds", "0"], "--seeds"),
        (&["search", "/nonexistent"], "--query"),
        (&["search", "/nonexistent", "--query", "a.png"], "there is no run"),
        (&["search", "/nonexistent", "--query", "a.png", "-k", "0"], "--count"),
        (&["report"], "RUN"),
        (&["replay", "/nonexistent"], "there is no run"),
        (&["report", "/nonexistent"], "there is no run"),
        (&["eval", "/"], "not the folder of a run"),
        (&["pretrain", "byol", "--device", "cpu"], "--device flex"),
        (&["pretrain", "byol", "--set", "train.epochs", "3"], "--set train.epochs=3"),
        (&["pretrain", "byol", "--images", "/nonexistent"], "no folder of images"),
        (&["pretrain", "byol", "--config", "/dev/zero"], "bytes"),
        (&["pretrain", "byol", "--seed", "18446744073709551615"], "--seed"),
        (&["compare", "byol", "simclr", "--seeds", "99999999999"], "--seeds"),
        (&["compare", "byol", "simclr", "--minutes", "1e300"], "--minutes"),
        (&["pretrain", "byol", "--set", "doctor.stop_after=0"], "doctor.stop_after"),
        (&["pretrain", "byol", "--set", "doctor.images=1"], "doctor.images"),
        (&["embed", "/nonexistent", "--images", ".", "--out", "x.csv"], "safetensors or .npy"),
        (&["augment", "--images", ".", "--out", "x.gif"], ".png or .html"),
        (&["augment", "--dataset", "shapes", "--out", "x.png", "--size", "0"], "--size"),
        (&["augment", "--dataset", "shapes", "--out", "x.png", "--draws", "9999"], "2000"),
    ] {
        let (status, stderr) = error(args);
        assert!(status == 2 && stderr.contains(word), "{args:?}: {status} {stderr}");
    }
}

#[test]
fn bad_data_is_one_clear_error_before_anything_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let empty = temp.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let out = temp.path().join("never");
    let out = out.to_str().unwrap();
    for (args, expected, word) in [
        (&["--dataset", "imagenot"][..], 2, "fashion-mini, fashion-mnist"),
        // Nothing is wrong with the command: the files are still to be had.
        (&["--dataset", "cifar10"], 1, "dataset import cifar10"),
        (&["--images", empty.to_str().unwrap()], 2, "no readable image"),
        (&["--limit", "10", "--set", "train.batch_size=100"], 2, "train.batch_size: 100"),
    ] {
        let all = [&["pretrain", "byol", "--out", out][..], args].concat();
        let (status, stderr) = error(&all);
        assert!(status == expected && stderr.contains(word), "{args:?}: {status} {stderr}");
        assert_eq!(stderr.lines().filter(|l| l.starts_with("error")).count(), 1, "{stderr}");
    }
}

#[test]
fn config_prints_what_can_be_read_back() {
    let temp = tempfile::tempdir().unwrap();
    let text = ok(&selfsame(&["config", "barlow-twins", "--set", "train.epochs=7"], "2"));
    assert!(text.contains("# passes over the training images") && text.contains("epochs = 7"));
    let path = temp.path().join("mine.toml");
    std::fs::write(&path, &text).unwrap();
    let again = ok(&selfsame(&["config", "barlow-twins", "--config", path.to_str().unwrap()], "2"));
    assert_eq!(again, text);
    let (status, stderr) = error(&["config", "byol", "--config", path.to_str().unwrap()]);
    assert!(status == 2, "{stderr}");
}

#[test]
fn data_sets_are_listed() {
    let text = ok(&selfsame(&["dataset", "list"], "2"));
    for name in ["fashion-mini", "shapes", "cifar10", "cifar100", "mnist"] {
        assert!(text.lines().any(|l| l.starts_with(&format!("{name} "))), "{text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&ok(&selfsame(&["dataset", "list", "--json"], "2"))).unwrap();
    assert!(json.as_array().unwrap().iter().any(|e| e["name"] == "shapes" && e["present"] == true));
}

/// A manifest may come from anybody. It must not change the terminal.
#[cfg(unix)]
#[test]
fn no_control_character_of_a_manifest_or_of_a_name_is_printed() {
    let project = Project::new();
    folder_of_images(project.folder.path(), 3);
    let photos = project.path("photos");
    std::fs::create_dir(photos.join("a\u{1b}[2Jb")).unwrap();
    std::fs::rename(photos.join("00.png"), photos.join("a\u{1b}[2Jb/0.png")).unwrap();
    std::fs::create_dir(photos.join("c")).unwrap();
    std::fs::rename(photos.join("01.png"), photos.join("c/0.png")).unwrap();
    std::fs::rename(photos.join("02.png"), photos.join("c/1.png")).unwrap();
    let manifest = |text: &str| {
        format!(
            "description = \"{text}\"\nlayout = \"image-folder\"\ntrain_images = 3\n\
             test_images = 0\nlicence = \"{text}\"\ncitation = \"{text}\"\nhomepage = \"{text}\"\n"
        )
    };
    let text = manifest("x\\u001b]0;y\\u0007");
    std::fs::write(project.path("datasets/mine.toml"), text).unwrap();
    std::fs::write(project.path("datasets/\u{1b}[1m.toml"), manifest("x")).unwrap();
    ok(&project.selfsame(&["dataset", "import", "mine", photos.to_str().unwrap()]));
    std::fs::write(project.path("datasets/mine/a\u{1b}[2Jb/0.png"), b"no image").unwrap();
    for (args, escaped) in [
        (&["dataset", "list"][..], "x\\u{1b}]0;y\\u{7}"),
        (&["dataset", "info", "mine"], "x\\u{1b}]0;y\\u{7}"),
        (&["dataset", "inspect", "mine"], "a\\u{1b}[2Jb"),
        (&["dataset", "verify", "mine"], "changed: a\\u{1b}[2Jb/0.png"),
    ] {
        let output = project.selfsame(args);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(escaped), "{args:?}: {text}");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{args:?}: {text}");
    }
}

/// A peer that says the same whatever it is asked: the ratio is its own arithmetic. The sheet has a
/// tile for every view, and says what was drawn for it; the same seed draws the same.
#[test]
fn augment_draws_a_sheet_and_a_page() {
    let temp = tempfile::tempdir().unwrap();
    let photos = folder_of_images(temp.path(), 3);
    let sheet = |name: &str, more: &[&str]| {
        let out = temp.path().join(name);
        let (photos, path) = (photos.to_str().unwrap(), out.to_str().unwrap());
        let args = ["augment", "--images", photos, "--out", path, "--count", "2", "--size", "24"];
        let text = ok(&selfsame(&[&args[..], more].concat(), "2"));
        (text, std::fs::read(out).unwrap())
    };
    let (text, first) = sheet("grid.png", &["--draws", "2"]);
    let views = |text: &str| text.lines().filter(|line| line.contains(": crop ")).count();
    // Two images, two draws of two views.
    assert_eq!(views(&text), 8, "{text}");
    let image = image::load_from_memory(&first).unwrap();
    // The images are 12 × 10, so 28 wide beside views of 24, with gaps of 6 and three times that.
    assert_eq!((image.width(), image.height()), (4 * 6 + 28 + 4 * 30, 2 * 30 + 6));
    assert_eq!(sheet("again.png", &["--draws", "2"]).1, first);
    assert_ne!(sheet("other.png", &["--draws", "2", "--seed", "1"]).1, first);

    let (text, page) = sheet("grid.html", &["--draws", "1", "--recipe", "dino"]);
    let page = String::from_utf8(page).unwrap();
    assert_eq!(views(&text), 2 * 6, "{text}");
    assert_eq!(page.matches("<figcaption>crop ").count(), 2 * 6);
    for line in text.lines().filter_map(|line| line.split_once(": crop ")) {
        assert!(page.contains(line.1), "{}", line.1);
    }
}
