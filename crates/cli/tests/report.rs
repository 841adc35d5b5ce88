//! What the page of a run says, through the real binary.

mod common;

use std::path::Path;

use common::{folder_of_images, ok, pretrain, selfsame};
use selfsame::report::RunReport;
use serde_json::Value;

fn report(run: &Path) -> RunReport {
    RunReport::from_json(&std::fs::read_to_string(run.join("report.json")).unwrap()).unwrap()
}

fn page(run: &Path) -> String {
    std::fs::read_to_string(run.join("report.html")).unwrap()
}

/// A flat folder of images has no labels and nothing to test on: the page must not say that it has.
#[test]
fn a_run_without_test_images_claims_none() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder_of_images(folder.path(), 12);
    let run = folder.path().join("run");
    let args = [
        "pretrain",
        "byol",
        "--images",
        images.to_str().unwrap(),
        "--out",
        run.to_str().unwrap(),
        "--set",
        "train.batch_size=4",
        "--set",
        "encoder.base_width=2",
        "--set",
        "train.epochs=2",
    ];
    ok(&selfsame(&args, "2"));
    let (html, report) = (page(&run), report(&run));
    for gallery in &report.galleries {
        assert!(
            gallery.caption.starts_with("Left: training images, for there are no test images.")
        );
    }
    assert!(!html.contains("never trained on"));
    assert!(!html.contains("a cross marks a neighbour of another class"));
    assert!(report.maps.iter().all(|map| map.caption.contains("12 training images")));
    assert!(report.tables.iter().all(|table| !table.caption.contains("test image")));
    // Each image beside both of its views, and pictures of both kinds.
    let views = report.views.unwrap();
    assert_eq!(views.rows.iter().map(Vec::len).collect::<Vec<_>>(), [3; 8]);
    assert_eq!(report.map_sprite.unwrap().count, 12);
    assert!(html.contains(">Training views</h2>"));
    // What made the run and what can be done with it.
    assert!(report.command.starts_with("selfsame pretrain byol --images "), "{}", report.command);
    assert!(html.contains("torchvision.models.resnet18()") && html.contains("ResNetConfig {"));
    // Both schedules: τ rises to 1.
    let chart = |title: &str| report.charts.iter().find(|chart| chart.title == title).unwrap();
    assert_eq!(chart("Learning rate").lines[0].points.len(), 6);
    let tau = &chart("Momentum of the target network").lines[0].points;
    assert!(tau.windows(2).all(|w| w[0][1] < w[1][1]) && tau[5][1] == 1.0, "{tau:?}");
}

#[test]
fn every_accuracy_has_its_interval_and_its_images() {
    let folder = tempfile::tempdir().unwrap();
    let (with, without) = (folder.path().join("with"), folder.path().join("without"));
    ok(&pretrain("barlow-twins", &with, &[], "2"));
    ok(&pretrain("barlow-twins", &without, &["--set", "eval.linear_probe=false"], "2"));
    let of_run = report(&with);
    let frozen = of_run.tables.iter().find(|table| table.title == "Frozen features").unwrap();
    assert!(frozen.caption.contains("40 test images from 60 training images"), "{frozen:?}");
    assert_eq!(frozen.rows.len(), 3);
    for row in &frozen.rows {
        // k-NN and the linear probe, of the baselines too.
        assert!(row[1..].iter().all(|cell| cell.interval.is_some()), "{row:?}");
    }
    for figure in of_run.figures.iter().take(2) {
        assert!(
            figure.note.contains("n = 40") && figure.note.contains("; raw pixels "),
            "{figure:?}"
        );
    }
    let classes =
        of_run.tables.iter().find(|table| table.title == "Accuracy of each class").unwrap();
    let images: usize = classes.rows.iter().map(|row| row[1].text.parse::<usize>().unwrap()).sum();
    assert_eq!(images, 40);
    // What was switched off says so.
    let switched = report(&without);
    let frozen = switched.tables.iter().find(|table| table.title == "Frozen features").unwrap();
    assert!(frozen.caption.contains("The linear probe was switched off"), "{frozen:?}");
    assert!(frozen.rows.iter().all(|row| row[2].text == "–"));
    // An evaluation's table takes the place of the run's own.
    ok(&selfsame(&["eval", with.to_str().unwrap(), "--quick"], "2"));
    let evaluated = report(&with);
    let titles = evaluated.tables.iter().filter(|table| table.title == "Frozen features");
    assert_eq!(titles.count(), 1);
    let moved = evaluated.tables.iter().find(|t| t.title.starts_with("Invariance")).unwrap();
    assert!(moved.caption.starts_with("Lower is more invariant"), "{moved:?}");
    assert!(moved.caption.ends_with("Over 40 images."), "{moved:?}");
}

#[test]
fn an_unfinished_run_has_no_page_yet_and_the_way_to_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    ok(&pretrain("byol", &run, &["--set", "train.stop_after=1"], "2"));
    std::fs::remove_file(run.join("report.json")).unwrap();
    let out = run.to_str().unwrap();
    let output = selfsame(&["report", out], "2");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let command = format!("`selfsame pretrain byol --out {out} --resume auto`");
    assert!(said.contains("is not finished") && said.contains(&command), "{said}");
    let output = selfsame(&["report", folder.path().to_str().unwrap()], "2");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// Only what moves a target has a momentum.
#[test]
fn metrics_have_tau_where_there_is_a_target() {
    let folder = tempfile::tempdir().unwrap();
    for (method, has) in [("moco-v3", true), ("dino", true), ("simsiam", false)] {
        let run = folder.path().join(method);
        ok(&pretrain(method, &run, &[], "2"));
        let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let lines: Vec<Value> =
            metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let steps = lines.iter().filter(|line| line["loss"].is_f64());
        let tau: Vec<Option<f64>> = steps.map(|line| line["tau"].as_f64()).collect();
        assert!(!tau.is_empty() && tau.iter().all(|t| t.is_some() == has), "{method}: {tau:?}");
    }
}
