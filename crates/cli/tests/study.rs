//! Comparisons and ablations through the real binary.

mod common;

use std::path::Path;

use common::{ok, selfsame};
use serde_json::Value;

/// Runs so small that each ends in a second.
const TINY: [&str; 16] = [
    "--limit",
    "60",
    "--set",
    "data.test_limit=40",
    "--set",
    "encoder.base_width=2",
    "--set",
    "eval.knn_k=5",
    "--set",
    "byol.projector_hidden=8",
    "--set",
    "byol.predictor_hidden=8",
    "--set",
    "byol.projector_dim=8",
    "--set",
    "doctor.images=40",
];

fn study(command: &[&str], out: &Path, more: &[&str]) -> std::process::Output {
    let mut args = command.to_vec();
    args.extend(["--out", out.to_str().unwrap(), "--json"]);
    args.extend(TINY);
    args.extend(more);
    selfsame(&args, "2")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn error(output: &std::process::Output, status: i32) -> String {
    let message = stderr(output);
    assert!(!message.contains("panicked") && !message.contains("backtrace"), "{message}");
    assert_eq!(output.status.code(), Some(status), "{message}");
    message
}

#[test]
fn a_comparison_makes_every_run_once_and_says_what_it_found() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("compared");
    let command = ["compare", "byol", "barlow-twins", "simclr"];
    let more = ["--batch-sizes", "10,20", "--seeds", "2", "--epochs", "2"];
    let first = study(&command, &out, &more);
    let found = json(&ok(&first));
    let runs = found["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3 * 2 * 2);
    for run in runs {
        let figures = &run["figures"];
        for key in ["knn_top1", "linear_top1", "images_per_second", "effective_rank"] {
            assert!(figures[key].as_f64().is_some_and(|v| v >= 0.0), "{key}: {run}");
        }
        // Before training, after the first epoch, at the end.
        assert_eq!(figures["curve"].as_array().unwrap().len(), 3, "{run}");
        // In a process of its own, so not the memory of those before it.
        assert!(figures["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
    }
    let claims = found["claims"].as_array().unwrap();
    for about in ["costs more per step", "depends less on a large batch", "does not collapse"] {
        assert!(
            claims.iter().any(|c| c["text"].as_str().unwrap().contains(about)),
            "{about}: {claims:?}"
        );
    }
    let markdown = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(markdown.contains("selfsame compare byol"), "{markdown}");
    assert!(markdown.contains("batch 10") && markdown.contains(".svg)"), "{markdown}");
    for method in ["byol", "barlow-twins", "simclr"] {
        let svg = std::fs::read_to_string(out.join(method).with_extension("svg")).unwrap();
        assert!(svg.contains("batch 10") && svg.contains("batch 20"), "{svg}");
    }
    for line in markdown.lines().filter(|line| line.starts_with("![")) {
        let file = line.rsplit_once("](").unwrap().1.trim_end_matches(')');
        let svg = std::fs::read_to_string(out.join(file)).unwrap();
        assert!(svg.starts_with("<svg"), "{file}");
    }
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("SimCLR") && page.contains("Peak memory by batch size"));

    // The same again is there already, but for the run that a power cut took.
    let lost = out.join("runs/simclr-b20-s1");
    std::fs::remove_file(lost.join("summary.json")).unwrap();
    let again = study(&command, &out, &more);
    let repeated = json(&ok(&again));
    assert_eq!(stderr(&again).matches("(there already)").count(), 11, "{}", stderr(&again));
    let knn = |found: &Value| -> Vec<f64> {
        let runs = found["runs"].as_array().unwrap();
        runs.iter().map(|r| r["figures"]["knn_top1"].as_f64().unwrap()).collect()
    };
    assert_eq!(knn(&found), knn(&repeated));

    // Another question needs another folder.
    let other = study(&command, &out, &["--batch-sizes", "10,20", "--seeds", "2", "--epochs", "3"]);
    let message = error(&other, 1);
    assert!(message.contains("other settings") && message.contains("epochs"), "{message}");
}

/// After a few steps of one run each, every figure is chance: page, Markdown and JSON say so and
/// choose nothing.
#[test]
fn a_comparison_too_short_to_tell_recommends_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("short");
    let more = ["--seeds", "1", "--epochs", "1", "--batch-sizes", "20,20"];
    let found = json(&ok(&study(&["compare", "byol", "simclr"], &out, &more)));
    // A batch size that is named twice is one.
    assert_eq!(found["runs"].as_array().unwrap().len(), 2);
    let lead: Vec<&str> =
        found["lead"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert!(lead[0].contains("nothing is recommended"), "{lead:?}");
    assert!(lead[1].contains("--epochs 30 --seeds 3, with all images"), "{lead:?}");
    assert!(lead.iter().any(|text| text.contains("1 epoch (3 steps) on 60 images")), "{lead:?}");
    for claim in found["claims"].as_array().unwrap() {
        assert_eq!(claim["outcome"], "undecided", "{claim}");
        let evidence = claim["evidence"].as_str().unwrap();
        assert!(
            evidence.contains("3 steps (at least") && evidence.contains("one run of each"),
            "{claim}"
        );
    }
    for name in ["README.md", "index.html"] {
        let text = std::fs::read_to_string(out.join(name)).unwrap();
        assert!(text.contains(lead[0]) && text.contains("Undecided: they rest on"), "{text}");
        assert!(text.contains("raw pixels") && text.contains("40 held-out images"), "{text}");
        assert!(!text.contains("hoose ") && !text.contains("time is short"), "{text}");
    }
}

#[test]
fn a_run_that_fails_is_reported_and_the_others_go_on() {
    let temp = tempfile::tempdir().unwrap();
    let more = ["--seeds", "1", "--epochs", "1", "--set", "train.batch_size=20"];
    let broken = [&more[..], &["--set", "simclr.temperature=1e-42"]].concat();
    let out = temp.path().join("broken");
    let output = study(&["compare", "byol", "simclr"], &out, &broken);
    let found = json(&ok(&output));
    assert!(found["runs"][0]["figures"]["knn_top1"].is_number(), "{found}");
    let reason = found["runs"][1]["failed"].as_str().unwrap();
    assert!(reason.contains("the loss is NaN at step 0"), "{reason}");
    assert!(stderr(&output).contains("failed"), "{}", stderr(&output));
    let markdown = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(markdown.contains("SimCLR at batch 20 (1)"), "{markdown}");
    let said = stderr(&output);
    assert!(said.lines().next_back().unwrap().contains("1 of 2 runs failed"), "{said}");

    let broken = [&more[..], &["--set", "optimizer.learning_rate=1e30"]].concat();
    let out = temp.path().join("all");
    let output = study(&["compare", "byol", "simclr"], &out, &broken);
    let said = error(&output, 1);
    assert!(said.lines().next_back().unwrap().contains("every run failed"), "{said}");
    assert!(out.join("index.html").is_file());
}

#[test]
fn a_study_that_was_cut_off_is_resumed_beside_notes() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("cut off");
    let more = ["--seeds", "1", "--epochs", "1", "--set", "train.batch_size=20"];
    ok(&study(&["compare", "byol", "simclr"], &out, &more));
    for name in ["study.json", "index.html", "README.md"] {
        std::fs::remove_file(out.join(name)).unwrap();
    }
    std::fs::write(out.join("notes.txt"), "mine").unwrap();
    let again = study(&["compare", "byol", "simclr"], &out, &more);
    ok(&again);
    assert_eq!(stderr(&again).matches("(there already)").count(), 2, "{}", stderr(&again));
}

#[test]
fn a_comparison_by_time_gives_every_method_its_own_number_of_epochs() {
    let temp = tempfile::tempdir().unwrap();
    let more = ["--minutes", "0.01", "--seeds", "1", "--batch-sizes", "20"];
    let found =
        json(&ok(&study(&["compare", "byol", "simclr"], &temp.path().join("timed"), &more)));
    for run in found["runs"].as_array().unwrap() {
        assert!(run["figures"]["epochs"].as_f64().unwrap() >= 1.0, "{run}");
    }
}

#[test]
fn runs_at_the_same_time_find_what_they_find_one_after_the_other() {
    let temp = tempfile::tempdir().unwrap();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let found = ["1", &cores.min(2).to_string()].map(|jobs| {
        let more = ["--seeds", "2", "--epochs", "2", "--batch-sizes", "20", "--jobs", jobs];
        let out = temp.path().join(format!("{jobs} at a time"));
        let found = json(&ok(&study(&["compare", "byol", "simclr"], &out, &more)));
        let figures = |run: &Value| {
            (
                run["name"].clone(),
                run["figures"]["knn_top1"].clone(),
                run["figures"]["final_loss"].clone(),
            )
        };
        found["runs"].as_array().unwrap().iter().map(figures).collect::<Vec<_>>()
    });
    assert_eq!(found[0], found[1]);
}

#[test]
fn an_ablation_has_a_verdict_on_every_part() {
    let temp = tempfile::tempdir().unwrap();
    let more = [
        "--only",
        "mechanism",
        "--only",
        "heads",
        "--set",
        "train.epochs=2",
        "--set",
        "train.batch_size=20",
        "--seeds",
        "1",
    ];
    let found = json(&ok(&study(&["ablate", "byol"], &temp.path().join("ablated"), &more)));
    let names: Vec<&str> =
        found["runs"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    for name in ["as-it-is-s0", "no-predictor-s0", "no-stop-gradient-s0"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("tau")), "{names:?}");
    for run in found["runs"].as_array().unwrap() {
        assert!(run["figures"]["diagnosis"]["headline"].is_string(), "{run}");
    }
    let claims = found["claims"].as_array().unwrap();
    assert!(claims.iter().any(|c| c["text"].as_str().unwrap().contains("no stop-gradient")));
    // One run of six steps each.
    for claim in claims {
        assert_eq!(claim["outcome"], "undecided", "{claim}");
    }
    let lead = found["lead"].to_string();
    assert!(lead.contains("6 steps (at least 300)"), "{lead}");
    let markdown = std::fs::read_to_string(temp.path().join("ablated/README.md")).unwrap();
    assert!(markdown.contains("Grill et al., 2020, table 5b"), "{markdown}");
}

/// A run's files are named after what was changed, a number with a point in it too.
#[test]
fn every_momentum_of_an_ablation_is_a_run_of_its_own() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("ablated");
    let short = ["--set", "train.epochs=1", "--set", "train.batch_size=20", "--seeds", "1"];
    let more = [&["--only", "momentum"], &short[..]].concat();
    let found = json(&ok(&study(&["ablate", "byol"], &out, &more)));
    let runs = found["runs"].as_array().unwrap();
    assert!(runs.iter().any(|run| run["name"] == "tau-0.99-s0"), "{runs:?}");
    for run in runs {
        assert!(run["figures"]["steps"].is_u64(), "{run}");
        let settings = format!("settings/{}.toml", run["name"].as_str().unwrap());
        assert!(out.join(&settings).is_file(), "{settings}");
    }
    assert_eq!(std::fs::read_dir(out.join("settings")).unwrap().count(), runs.len());
}

#[test]
fn wrong_usage_is_told_before_any_run() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("none");
    for (command, more, word) in [
        (&["compare", "byol", "nonsense"][..], &[][..], "the methods are byol"),
        (&["compare", "byol", "simclr"][..], &["--seeds", "0"][..], "--seeds"),
        (&["compare", "w-mse", "byol"][..], &["--batch-sizes", "4"][..], "w_mse.sub_batch"),
        (&["compare", "byol", "simclr"][..], &["--minutes", "0"][..], "--minutes"),
        // One method, also if it is named twice, and whatever else is asked for.
        (&["compare", "byol"][..], &[][..], "selfsame compare byol barlow-twins"),
        (&["compare", "simclr", "simclr"][..], &[][..], "simclr alone has nothing to be compared"),
        (&["compare", "byol"][..], &["--batch-sizes", "10,20"][..], "two methods or more"),
        (&["compare", "byol", "simclr"][..], &["--jobs", "0"][..], "from 1 to"),
        (&["ablate", "byol"][..], &["--only", "nonsense"][..], "--only nonsense"),
        (&["pretrain", "byol"][..], &["--recipe", "nonsense"][..], "cifar10-1000ep"),
    ] {
        let message = error(&study(command, &out, more), 2);
        assert!(message.contains(word), "{command:?} {more:?}: {message}");
    }
}

/// The processes that have `word` in their command line, besides this one.
#[cfg(target_os = "linux")]
fn processes_with(word: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    commands.filter(|command| String::from_utf8_lossy(command).contains(word)).count()
}

#[cfg(target_os = "linux")]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !done() {
        assert!(begun.elapsed().as_secs() < 120, "waited too long for {what}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Only the study gets the signal, as from a job scheduler.
#[cfg(target_os = "linux")]
#[test]
fn a_study_that_is_asked_to_end_or_killed_leaves_no_run_behind() {
    use std::process::{Command, Stdio};
    let temp = tempfile::tempdir().unwrap();
    for (name, status) in [("TERM", Some(75)), ("KILL", None)] {
        let out = temp.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_selfsame"));
        command.args(["compare", "byol", "simclr", "--batch-sizes", "10", "--seeds", "1"]);
        command.args(["--epochs", "100000"]);
        command.args(TINY).arg("--out").arg(&out).env("RAYON_NUM_THREADS", "1");
        let mut study = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("a step", || {
            let runs = std::fs::read_dir(out.join("runs")).into_iter().flatten().flatten();
            runs.into_iter().any(|run| run.path().join("metrics.jsonl").is_file())
        });
        let id = study.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
        assert_eq!(study.wait().unwrap().code(), status, "{name}");
        let folder = out.to_str().unwrap();
        wait_until("the end of the run", || processes_with(folder) == 0);
    }
}
