//! What a run says of itself is true: its clocks, its metrics, what is done and what is left.
//! Through the real binary.

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use common::{SMALL, ok, pretrain};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn summary(run: &Path) -> Value {
    json(&run.join("summary.json"))
}

fn evaluations(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line.get("knn_top1").is_some()).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn metrics_have_every_evaluation_the_last_one_too() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    for (epochs, every, expected) in [
        ("3", "1", vec![1, 2, 3]),
        ("1", "1", vec![1]),
        ("3", "2", vec![2, 3]),
        ("2", "0", vec![2]),
    ] {
        let (epochs, every) = (format!("train.epochs={epochs}"), format!("eval.every={every}"));
        ok(&pretrain("byol", &run, &["--force", "--set", &epochs, "--set", &every], "2"));
        let found = evaluations(&run);
        let at: Vec<u64> = found.iter().map(|line| line["epoch"].as_u64().unwrap()).collect();
        assert_eq!(at, expected, "{epochs} {every}");
        let (last, summary) = (found.last().unwrap(), summary(&run));
        for figure in ["knn_top1", "linear_top1", "effective_rank"] {
            assert_eq!(last[figure], summary[figure], "{figure}");
        }
        assert_eq!(last["step"], summary["steps"]);
        // The best is one of all, not of all but the last.
        assert!(run.join("checkpoints/best.safetensors").is_file());
    }
}

#[test]
fn clocks_count_everything_and_add_up_over_resumes() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    let (mut outside, mut before) = (0.0, 0.0);
    for stop in ["1", "2"] {
        let begun = Instant::now();
        let stop = format!("train.stop_after={stop}");
        ok(&pretrain("byol", &run, &["--resume", "auto", "--set", &stop], "2"));
        outside += begun.elapsed().as_secs_f64();
        let summary = summary(&run);
        let second = |name: &str| summary[name].as_f64().unwrap();
        let phases = summary["seconds"].as_object().unwrap();
        let sum: f64 = phases.values().map(|seconds| seconds.as_f64().unwrap()).sum();
        assert!((sum - second("wall_seconds")).abs() < 1e-9);
        for phase in ["opening", "baselines", "training", "saving", "final_evaluation", "report"] {
            assert!(phases[phase].as_f64().unwrap() > 0.0, "{phase}");
        }
        assert_eq!(phases["training"], summary["train_seconds"]);
        // Starting the process and ending it is not the run's.
        let wall = second("wall_seconds");
        assert!(wall > before && wall <= outside, "{before} < {wall} <= {outside}");
        assert!(wall > 0.5 * outside, "{wall} of {outside}");
        before = wall;
    }
}

#[test]
fn a_finished_run_has_nothing_left_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    ok(&pretrain("byol", &run, &[], "2"));
    let files = ["summary.json", "metrics.jsonl", "report.html", "encoder.safetensors"];
    let contents = || files.map(|name| std::fs::read(run.join(name)).unwrap());
    let before = contents();
    let again = pretrain("byol", &run, &["--resume", "auto"], "2");
    assert!(ok(&again).contains("knn_top1"));
    assert!(stderr(&again).contains("nothing is left to do"), "{}", stderr(&again));
    assert!(!stderr(&again).contains("resumed after"), "{}", stderr(&again));
    assert!(before == contents());
    // But for what was damaged since.
    std::fs::write(run.join("encoder.safetensors"), "damaged").unwrap();
    ok(&pretrain("byol", &run, &["--resume", "auto"], "2"));
    assert!(before[3] == std::fs::read(run.join("encoder.safetensors")).unwrap());
}

/// Each phase is saved when it is done: a figure that was changed in between is taken as it is.
#[test]
fn what_was_judged_before_a_kill_is_not_judged_again() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    ok(&pretrain("byol", &run, &[], "2"));
    let judged = run.join("judged.toml");
    let text = std::fs::read_to_string(&judged).unwrap();
    let lines = text.lines().skip(1);
    let lines = lines.map(|l| if l.starts_with("knn_top1 =") { "knn_top1 = 0.03125" } else { l });
    let changed = lines.collect::<Vec<_>>().join("\n") + "\n";
    let keep = |body: &str| {
        let sum: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(&judged, format!("# SHA-256 of what follows: {sum}\n{body}")).unwrap();
    };
    keep(&changed);
    std::fs::remove_file(run.join("report.html")).unwrap();
    ok(&pretrain("byol", &run, &["--resume", "auto"], "2"));
    assert!(run.join("report.html").is_file());
    assert_eq!(summary(&run)["knn_top1"], 0.03125);
    assert_eq!(summary(&run)["knn_top1_random_init"], 0.03125);
    // What is kept for other settings, or is damaged, is not used.
    keep(&changed.replace("key = \"", "key = \"0"));
    ok(&pretrain("byol", &run, &["--resume", "auto"], "2"));
    assert_ne!(summary(&run)["knn_top1"], 0.03125);
    std::fs::write(&judged, text.replacen("knn_top1 = 0", "knn_top1 = 1", 1)).unwrap();
    ok(&pretrain("byol", &run, &["--resume", "auto"], "2"));
    assert!(summary(&run)["knn_top1_random_init"].as_f64().unwrap() < 1.0);
}

/// Sends Ctrl-C as soon as a line holds `cue`; the exit status and everything that was said.
#[cfg(unix)]
fn interrupted_at(cue: &str, out: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selfsame"));
    command.args(["pretrain", "byol", "--out", out.to_str().unwrap(), "--resume", "auto"]);
    command.args(SMALL).args(more).env("SELFSAME_DATA", common::datasets());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains(cue) && !said.contains(cue) {
            let id = child.id().to_string();
            assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
        }
        said += &line;
        said += "\n";
    }
    (child.wait().unwrap().code(), said)
}

#[cfg(unix)]
#[test]
fn ctrl_c_has_its_status_before_training_and_after_it() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    // Long enough that the signal comes before the end of what it is to interrupt.
    let more = ["--set", "data.limit=4000", "--set", "data.test_limit=2000"];
    let more = [&more[..], &["--set", "train.batch_size=500", "--set", "train.epochs=1"]].concat();
    let (status, said) = interrupted_at("byol on fashion-mini", &run, &more);
    assert_eq!(status, Some(75), "{said}");
    assert!(said.contains("interrupted before training began"), "{said}");

    let (status, said) = interrupted_at("final evaluation", &run, &more);
    assert_eq!(status, Some(75), "{said}");
    assert!(said.contains("interrupted after training"), "{said}");
    let weights: PathBuf = run.join("encoder.safetensors");
    let before = std::fs::read(&weights).unwrap();
    let (status, said) = interrupted_at("a line that never comes", &run, &more);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("all 8 steps are done"), "{said}");
    assert!(before == std::fs::read(&weights).unwrap());
}
