//! What comes after training: evaluation, reports, and the collapse doctor, through the real
//! binary.

mod common;

use std::path::{Path, PathBuf};

use common::{ok, png, selfsame};
use serde_json::Value;

/// A run of `method` that ends in a second or two.
fn pretrain(method: &str, out: &Path, more: &[&str]) -> (bool, String, String) {
    let out = out.to_str().unwrap();
    let mut args =
        vec!["pretrain", method, "--out", out, "--json", "--set", "encoder.base_width=2"];
    args.extend(["--set", "train.batch_size=20", "--set", "eval.knn_k=5"]);
    args.extend(more);
    let output = selfsame(&args, "2");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

const TINY: [&str; 6] = ["--limit", "60", "--set", "data.test_limit=40", "--set", "train.epochs=2"];

/// A finished run.
fn run(folder: &Path, method: &str, more: &[&str]) -> PathBuf {
    let run = folder.join(method);
    let (success, _, stderr) = pretrain(method, &run, &[&TINY[..], more].concat());
    assert!(success, "{stderr}");
    run
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn between_0_and_1(value: &Value) -> bool {
    value.as_f64().is_some_and(|v| (0.0..=1.0).contains(&v))
}

#[test]
fn an_evaluation_scores_the_encoder_beside_everything_it_has_to_beat() {
    let temp = tempfile::tempdir().unwrap();
    let run = run(temp.path(), "byol", &[]);
    let folder = run.to_str().unwrap();
    let text = ok(&selfsame(&["eval", folder, "--seeds", "1", "--json"], "2"));
    let outcome = json(&text);
    let names: Vec<&str> = outcome["representations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "trained encoder",
            "untrained encoder",
            "PCA of pixels",
            "raw pixels",
            "supervised encoder"
        ]
    );
    for representation in outcome["representations"].as_array().unwrap() {
        for probe in ["knn", "knn_chosen", "linear"] {
            let interval = &representation[probe]["top1"];
            let [low, mean, high] = ["low", "mean", "high"].map(|k| interval[k].as_f64().unwrap());
            assert!(0.0 <= low && low <= mean && mean <= high && high <= 1.0, "{representation}");
        }
        assert!(representation["few"].as_array().unwrap().iter().all(|few| {
            between_0_and_1(&few["top1"]["mean"]) && few["top1"]["deviation"].is_null()
        }));
        assert!(between_0_and_1(&representation["clusters"]["nmi"]["mean"]));
    }
    assert!(between_0_and_1(&outcome["representations"][4]["classifier"]["mean"]));
    assert_eq!(outcome["representations"][3]["dim"], 28 * 28 * 3);
    assert_eq!(outcome["finetuning"].as_array().unwrap().len(), 3);
    let corruptions = outcome["corruptions"].as_array().unwrap();
    assert_eq!(corruptions.len(), 15);
    assert!(corruptions.iter().all(|row| {
        let scores = row["top1"].as_array().unwrap();
        scores.len() == 5 && scores.iter().all(|s| s["by_severity"].as_array().unwrap().len() == 5)
    }));
    let flip = outcome["augmentations"].as_array().unwrap();
    assert!(flip.iter().any(|row| row["augmentation"] == "horizontal flip"));
    // Grayscale images have no hue to change.
    assert!(!flip.iter().any(|row| row["augmentation"].as_str().unwrap().contains("hue")));

    // The same figures again, now from the features that were kept.
    let kept = |folder: &Path| {
        let files = std::fs::read_dir(folder.join("features")).unwrap();
        let mut files: Vec<_> = files.map(|f| f.unwrap().path()).collect();
        files.sort();
        files
    };
    let before = kept(&run);
    assert_eq!(before.len(), 6, "three encoders on two splits");
    let again = json(&ok(&selfsame(&["eval", folder, "--seeds", "1", "--json"], "2")));
    assert_eq!(again["representations"], outcome["representations"]);
    assert_eq!(again["corruptions"], outcome["corruptions"]);
    assert_eq!(kept(&run), before);
    // A damaged file is computed anew.
    std::fs::write(&before[0], b"nothing").unwrap();
    let repaired = json(&ok(&selfsame(&["eval", folder, "--quick", "--json"], "2")));
    assert_eq!(repaired["representations"][0]["knn"], outcome["representations"][0]["knn"]);

    // Other weights' figures are printed and do not become the run's.
    let figures = std::fs::read(run.join("eval.json")).unwrap();
    let best = run.join("checkpoints/best.safetensors");
    ok(&selfsame(&["eval", folder, "--quick", "--weights", best.to_str().unwrap()], "2"));
    assert!(figures == std::fs::read(run.join("eval.json")).unwrap());

    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    for title in ["Frozen features", "Fine-tuning", "Robustness", "gaussian noise"] {
        assert!(page.contains(title), "{title}");
    }
}

/// Results and what is said on stderr.
fn eval(args: &[&str]) -> (String, String) {
    let output = selfsame(&[&["eval"], args].concat(), "2");
    let text = ok(&output);
    (text, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_evaluation_says_which_images_its_figures_rest_on_and_how_it_stands() {
    let temp = tempfile::tempdir().unwrap();
    let run = run(temp.path(), "byol", &[]);
    let folder = run.to_str().unwrap();
    let (text, stderr) = eval(&[folder, "--quick", "--seeds", "2", "--limit", "30", "--json"]);
    let outcome = json(&text);
    for images in ["train_images", "test_images", "table_train_images", "table_test_images"] {
        assert_eq!(outcome[images], 30, "{images}");
    }
    for row in outcome["representations"].as_array().unwrap() {
        assert_eq!((&row["train_images"], &row["test_images"]), (&30.into(), &30.into()));
    }
    // Fewer images than the run had are no other images.
    assert!(!stderr.contains("warning"), "{stderr}");
    // Plain lines where there is no terminal: every phase begins, and ends.
    let phases: Vec<&str> = stderr.lines().filter(|line| line.starts_with('[')).collect();
    let whole = [
        "[1/9] training images: 0 of 30",
        "[1/9] training images: 30 of 30",
        "[2/9] test images: 30 of 30",
        "[8/9] the collapse doctor: 1 of 1",
    ];
    for line in whole {
        assert!(phases.contains(&line), "{line} in {stderr}");
    }
    assert!(phases.iter().any(|line| line.starts_with("[7/9] probes of raw pixels: ")));
    assert!(phases.iter().any(|line| line.starts_with("[9/9] invariance: ")), "{stderr}");

    // The same in words, now from the features that were kept.
    let (text, stderr) = eval(&[folder, "--quick", "--seeds", "2", "--limit", "30"]);
    assert!(stderr.contains("[1/9] training images: 0 of 30"), "pixels are read: {stderr}");
    let first = text.lines().next().unwrap();
    assert!(first.contains("the data set that it was trained on"), "{first}");
    for said in [
        "% (k 5, T 0.1) of 30 test images from 30 training images",
        "Top-1 on 30 test images from 30 training images, the same for all rows",
        "Top-1 on 30 test images, mean ± standard deviation of 2 draws",
        "0 is invariant, 1 is as far",
        "30 images.",
    ] {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(said), "{said} in {text}");
    }
    // One image of each class is more than 1 % and 10 % of 30 images: those budgets are left out.
    let few = text.lines().find(|line| line.contains("1 per class")).unwrap();
    assert!(few.ends_with(" 1 per class (10)") && !few.contains('%'), "{few}");
    // No accuracy without its interval.
    let table = text.lines().filter(|line| line.starts_with("  raw pixels")).take(2);
    for line in table {
        assert!(line.matches('±').count() >= line.matches('%').count(), "{line}");
    }

    // Clusters of one image or two agree with any classes.
    let (text, _) = eval(&[folder, "--quick", "--seeds", "1", "--limit", "15"]);
    assert!(text.contains("there are 15 for 10") && !text.contains("ARI  "), "{text}");
    let (text, _) = eval(&[folder, "--quick", "--seeds", "1", "--limit", "15", "--json"]);
    assert!(json(&text)["representations"][0]["clusters"].is_null());
    assert!(json(&text)["without_clusters"].as_str().unwrap().contains("15"));
    let refused = selfsame(&["eval", folder, "--limit", "1"], "2");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn an_evaluation_makes_do_with_two_labels_of_each_class_and_with_one_class() {
    let temp = tempfile::tempdir().unwrap();
    let few = run(temp.path(), "byol", &["--set", "eval.labels=2"]);
    let text = ok(&selfsame(&["eval", few.to_str().unwrap(), "--quick", "--json"], "2"));
    let trained = &json(&text)["representations"][0];
    // Nothing can be held out to choose by.
    assert!(trained["knn_chosen"].is_null() && between_0_and_1(&trained["knn"]["top1"]["mean"]));
    assert_eq!(trained["linear"]["c"], 1.0);

    let one = temp.path().join("one");
    for i in 0..14u8 {
        let part = if i < 8 { "train" } else { "test" };
        png(&one.join(part).join("cat").join(format!("{i}.png")), 15 * i);
    }
    let one = one.to_str().unwrap();
    let text = ok(&selfsame(&["eval", few.to_str().unwrap(), "--images", one, "--json"], "2"));
    let outcome = json(&text);
    // One class is nothing to tell apart.
    assert_eq!(outcome["representations"], serde_json::json!([]), "{outcome}");
    let cause = outcome["untested"].as_str().unwrap();
    assert!(cause.contains("class folders"), "{cause}");
    assert_eq!(outcome["finetuning"], serde_json::json!([]));
}

#[test]
fn transfer_trains_probes_on_other_images_and_reads_the_factors_of_shapes() {
    let temp = tempfile::tempdir().unwrap();
    let run = run(temp.path(), "barlow-twins", &["--set", "barlow_twins.projector=[8, 8]"]);
    let folder = run.to_str().unwrap();
    let text = ok(&selfsame(&["eval", folder, "--dataset", "shapes", "--quick", "--json"], "2"));
    let outcome = json(&text);
    assert_eq!((&outcome["dataset"], &outcome["transfer"]), (&"shapes".into(), &true.into()));
    let factors = outcome["factors"].as_array().unwrap();
    assert_eq!(factors.len(), 10);
    // The mean colour of an image is a linear function of its pixels.
    let background = factors.iter().find(|row| row["factor"] == "background").unwrap();
    assert!(background["pixels"].as_f64().unwrap() > 0.5, "{background}");
    assert!(factors.iter().all(|row| row["trained"].as_f64().unwrap() <= 1.0));
    assert!(run.join("eval-shapes.json").is_file() && !run.join("eval.json").exists());
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("Frozen features on shapes") && page.contains("What can still be read"));
}

#[test]
fn a_report_is_made_again_and_compares_runs() {
    let temp = tempfile::tempdir().unwrap();
    let first = run(temp.path(), "byol", &[]);
    let second = run(temp.path(), "barlow-twins", &["--set", "barlow_twins.projector=[8, 8]"]);
    let page = std::fs::read(first.join("report.html")).unwrap();
    ok(&selfsame(&["report", first.to_str().unwrap()], "2"));
    assert!(page == std::fs::read(first.join("report.html")).unwrap(), "the page has changed");

    let out = temp.path().join("both.html");
    let [a, b, to] = [&first, &second, &out].map(|p| p.to_str().unwrap());
    ok(&selfsame(&["report", a, b, "--out", to], "2"));
    let page = std::fs::read_to_string(&out).unwrap();
    for text in ["byol", "barlow-twins", "k-NN accuracy", "Singular values of the features"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("http://") || page.contains("www.w3.org"), "a page needs no network");

    std::fs::write(first.join("report.json"), b"{\"charts\": 3}").unwrap();
    let damaged = selfsame(&["report", a], "2");
    assert_eq!(damaged.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("report.json"), "{damaged:?}");
    std::fs::remove_file(first.join("report.json")).unwrap();
    let missing = selfsame(&["report", a], "2");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("report.json"), "{missing:?}");
}

#[test]
fn numbers_that_run_away_stop_the_run_and_can_be_seen_again() {
    let temp = tempfile::tempdir().unwrap();
    for (name, method, more) in [
        ("byol", "byol", &["--set", "optimizer.learning_rate=1e20"][..]),
        (
            "accumulated",
            "barlow-twins",
            &["--set", "optimizer.learning_rate=1e12", "--set", "train.accumulation=2"],
        ),
        (
            "on-the-device",
            "byol",
            &["--set", "optimizer.learning_rate=1e20", "--set", "views.on_device=true"],
        ),
    ] {
        let run = temp.path().join(name);
        let (success, _, stderr) = pretrain(method, &run, &[&TINY[..], more].concat());
        assert!(!success && stderr.contains("selfsame replay"), "{stderr}");
        let failure = json(&std::fs::read_to_string(run.join("failure/failure.json")).unwrap());
        assert!(failure["message"].as_str().unwrap().contains("NaN"), "{failure}");
        assert!(!run.join("summary.json").exists());
        let run = run.to_str().unwrap();
        let again = ok(&selfsame(&["replay", run], "1"));
        assert!(again.contains("reproduced"), "{again}");

        // Weights from elsewhere in place of the saved ones: now the step succeeds.
        let path = Path::new(run).join("failure/failure.json");
        std::fs::write(&path, br#"{"step": 999, "parameter": null, "message": "another"}"#)
            .unwrap();
        let other = selfsame(&["replay", run], "2");
        assert_eq!(other.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&other.stderr).contains("not reproduced"), "{other:?}");
        std::fs::write(Path::new(run).join("failure/batch.safetensors"), b"x").unwrap();
        let damaged = selfsame(&["replay", run], "2");
        assert!(String::from_utf8_lossy(&damaged.stderr).contains("batch.safetensors"));
    }
    // Found only when its figures are read, as on a GPU: the state before is gone, and how to see
    // it again is said.
    let late = temp.path().join("late");
    let more = [&TINY[..], &["--set", "optimizer.learning_rate=1e20"]].concat();
    let unread = [&more[..], &["--set", "train.read_every=100"]].concat();
    let (success, _, stderr) = pretrain("byol", &late, &unread);
    assert!(!success && stderr.contains("train.read_every=1"), "{stderr}");
    assert!(stderr.contains("the loss is NaN at step"), "{stderr}");
    assert!(!late.join("failure").exists());
    let again = [&more[..], &["--set", "train.read_every=1", "--resume", "auto"]].concat();
    let (success, _, stderr) = pretrain("byol", &late, &again);
    assert!(!success && stderr.contains("selfsame replay"), "{stderr}");
    let healthy = run(temp.path(), "barlow-twins", &["--set", "barlow_twins.projector=[8, 8]"]);
    let nothing = selfsame(&["replay", healthy.to_str().unwrap()], "2");
    assert_eq!(nothing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("nothing to replay"), "{nothing:?}");
}

/// Without predictor and stop-gradient nothing keeps BYOL from mapping everything to one point;
/// Barlow Twins cannot do that, whatever its settings.
#[test]
fn the_doctor_sees_a_collapse_and_can_stop_the_run() {
    let temp = tempfile::tempdir().unwrap();
    let short = ["--limit", "400", "--set", "data.test_limit=200", "--set", "doctor.images=200"];
    let with =
        |more: &[&'static str]| [&short[..], &["--set", "encoder.base_width=4"], more].concat();

    let bare = temp.path().join("bare");
    let more = with(&[
        "--set",
        "byol.predictor=false",
        "--set",
        "byol.stop_gradient=false",
        "--set",
        "train.epochs=30",
        "--set",
        "optimizer.learning_rate=0.1",
        "--set",
        "doctor.stop_after=2",
    ]);
    let (success, summary, stderr) = pretrain("byol", &bare, &more);
    assert!(success, "{stderr}");
    let summary = json(&summary);
    assert_eq!(summary["diagnosis"]["level"], "collapsed", "{summary}");
    assert!(summary["diagnosis"]["headline"].as_str().unwrap().contains("complete collapse"));
    assert_eq!(
        (&summary["stopped_by_doctor"], &summary["finished"]),
        (&true.into(), &false.into())
    );
    assert!(stderr.contains("stopped after epoch") && stderr.contains("byol."), "{stderr}");
    let page = std::fs::read_to_string(bare.join("report.html")).unwrap();
    assert!(page.contains("Complete collapse"), "the page does not say so");

    let twins = temp.path().join("twins");
    let more = with(&["--set", "train.epochs=3", "--set", "doctor.stop_after=1"]);
    let (success, summary, stderr) = pretrain("barlow-twins", &twins, &more);
    assert!(success, "{stderr}");
    let summary = json(&summary);
    assert_ne!(summary["diagnosis"]["level"], "collapsed", "{summary}");
    assert_eq!(summary["stopped_by_doctor"], false);
    let metrics = std::fs::read_to_string(twins.join("metrics.jsonl")).unwrap();
    let visit = metrics.lines().find(|line| line.contains("uniformity")).unwrap();
    for figure in ["alignment", "projection_rank", "off_diagonal", "effective_rank", "diagnosis"] {
        assert!(!json(visit)[figure].is_null(), "{figure} in {visit}");
    }
}

/// The only step of this run is the first of its warm-up: a learning rate of 0, so that the target
/// is a copy and k-NN differs by batch norm's statistics alone.
#[test]
fn the_doctor_concludes_nothing_from_one_step() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    let folder = run.to_str().unwrap();
    let mut args = vec!["pretrain", "byol", "--out", folder, "--limit", "40"];
    for setting in [
        "data.test_limit=40",
        "encoder.base_width=2",
        "train.batch_size=40",
        "train.epochs=1",
        "eval.every=0",
        "eval.linear_probe=false",
    ] {
        args.extend(["--set", setting]);
    }
    let text = ok(&selfsame(&args, "2"));
    let headline = "too early to judge: 1 step, at a learning rate of 0, so that only the statistics of batch norm have changed";
    assert!(text.contains(headline), "{text}");
    assert_eq!(text.matches("→ take more steps: raise train.epochs").count(), 1, "{text}");
    assert!(!text.contains("target") && !text.contains("worse than untrained"), "{text}");
    let summary = json(&std::fs::read_to_string(run.join("summary.json")).unwrap());
    assert_eq!(summary["diagnosis"]["level"], "unknown", "{summary}");
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("<b>Too early to judge:</b> 1 step"), "the page does not say so");
    assert!(!page.contains("Healthy"), "the page calls it healthy");

    let text = ok(&selfsame(&["eval", folder, "--quick", "--seeds", "1"], "2"));
    assert!(text.contains(&format!("doctor: {headline}\n            → take more steps")), "{text}");
}

#[test]
fn tensorboard_is_told_everything_and_a_resumed_run_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    let stopped = [&TINY[..], &["--set", "train.stop_after=1"]].concat();
    let (success, _, stderr) = pretrain("byol", &run, &stopped);
    assert!(success, "{stderr}");
    let (success, _, stderr) = pretrain("byol", &run, &[&TINY[..], &["--resume", "auto"]].concat());
    assert!(success, "{stderr}");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&run)
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains("events.out.tfevents"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 2, "{files:?}");
    let texts: Vec<String> = files
        .iter()
        .map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned())
        .collect();
    for tag in ["training/loss", "training/learning_rate", "neighbours"] {
        assert!(texts.iter().all(|text| text.contains(tag)), "{tag}");
    }
    assert!(texts[0].contains("train.epochs") || texts[0].contains("[train]"), "the settings");
}
