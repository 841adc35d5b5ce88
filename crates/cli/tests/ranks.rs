//! Several ranks train what one process would, and can be interrupted and go on in another number:
//! through the real binary. Here as devices of one process; with the feature `mpi` also as
//! processes under `mpirun`.

mod common;

use std::path::Path;

use common::{error, field, ok, pretrain};
use serde_json::Value;

/// Six steps of 64 small images, which 2 and 4 ranks divide evenly. With more activations there is
/// sooner one so near to zero that a rounding error puts it on the other side of a ReLU, from where
/// losses part.
const CALM: [&str; 12] = [
    "--set",
    "data.limit=200",
    "--set",
    "train.batch_size=64",
    "--set",
    "train.epochs=2",
    "--set",
    "views.size=12",
    "--set",
    "optimizer.learning_rate=0.001",
    "--set",
    "eval.every=0",
];

/// Loss, embedding spread and learning rate of every step.
fn steps(run: &Path) -> Vec<[f64; 3]> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let steps = lines.filter(|line| line["loss"].is_number());
    steps
        .map(|line| {
            ["loss", "embedding_std", "learning_rate"].map(|key| line[key].as_f64().unwrap())
        })
        .collect()
}

fn assert_follows(run: &Path, alone: &Path, what: &str) {
    let (run, alone) = (steps(run), steps(alone));
    assert_eq!(run.len(), alone.len(), "{what}");
    for (step, (run, alone)) in run.iter().zip(&alone).enumerate() {
        for (a, b) in run.iter().zip(alone) {
            assert!(
                (a - b).abs() <= 1e-4 * b.abs().max(1.0),
                "{what}, step {step}: {run:?} {alone:?}"
            );
        }
    }
}

#[test]
fn devices_of_one_process_train_what_one_device_would() {
    let temp = tempfile::tempdir().unwrap();
    for method in ["byol", "barlow-twins", "simclr", "vicreg"] {
        let alone = temp.path().join(format!("{method}-alone"));
        ok(&pretrain(method, &alone, &CALM, "2"));
        for (devices, read) in
            [("flex,flex", "train.read_every=1"), ("flex, flex, flex, flex", "train.read_every=4")]
        {
            let run = temp.path().join(format!("{method}-{}", devices.len()));
            let more = [&CALM[..], &["--device", devices, "--set", read]].concat();
            let summary = ok(&pretrain(method, &run, &more, "2"));
            assert_follows(&run, &alone, &format!("{method} on {devices}"));
            assert_eq!(field(&summary, "steps"), 6.0);
        }
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let temp = tempfile::tempdir().unwrap();
    let (alone, run) = (temp.path().join("alone"), temp.path().join("run"));
    ok(&pretrain("byol", &alone, &CALM, "2"));
    for (devices, stop) in [("flex,flex", "1"), ("flex", "1.34"), ("flex,flex,flex,flex", "2")] {
        let stop = format!("train.stop_after={stop}");
        let more = ["--device", devices, "--set", &stop, "--resume", "auto"];
        ok(&pretrain("byol", &run, &[&CALM[..], &more].concat(), "2"));
    }
    assert_follows(&run, &alone, "two, one and four ranks");
}

#[test]
fn what_ranks_cannot_do_is_said() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("run");
    let run = ["pretrain", "byol", "--limit", "60", "--out", out.to_str().unwrap()];
    for (more, word) in [
        (["--set", "train.batch_size=25", "--device", "flex,flex"], "cannot be divided among 2"),
        (["--set", "train.batch_size=2", "--device", "flex,flex"], "at least 2 images"),
        (["--set", "train.batch_size=24", "--device", "flex,tpu"], "tpu"),
    ] {
        let (status, message) = error(&[&run[..], &more].concat());
        assert_eq!(status, 2, "{message}");
        assert!(message.contains(word), "{message}");
    }
}

/// Each would train a network of its own, in silence.
#[cfg(not(feature = "mpi"))]
#[test]
fn processes_that_cannot_work_together_do_not_begin() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_selfsame"))
        .args(["pretrain", "byol"])
        .env("OMPI_COMM_WORLD_SIZE", "4")
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("--features mpi"), "{message}");
}

#[cfg(feature = "mpi")]
mod mpi {
    use std::path::PathBuf;
    use std::process::{Child, Command, Output, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::common::SMALL;

    /// On any machine: as root, and with more ranks than cores.
    fn mpirun(ranks: usize, method: &str, out: &Path, more: &[&str]) -> Command {
        let mut command = Command::new("mpirun");
        command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]);
        command.args(["-n", &ranks.to_string(), env!("CARGO_BIN_EXE_selfsame")]);
        command.args(["pretrain", method, "--out", out.to_str().unwrap(), "--json"]);
        command.args(SMALL).args(more);
        command.env("SELFSAME_DATA", common::datasets());
        command.env("RAYON_NUM_THREADS", "1").env("OMPI_MCA_mpi_yield_when_idle", "1");
        command
    }

    fn done(mut command: Command) -> Output {
        let output = command.output().unwrap();
        ok(&output);
        output
    }

    #[test]
    fn processes_train_what_one_would() {
        let temp = tempfile::tempdir().unwrap();
        for method in ["byol", "barlow-twins", "simclr", "vicreg"] {
            let alone = temp.path().join(format!("{method}-alone"));
            ok(&pretrain(method, &alone, &CALM, "2"));
            for ranks in [2, 4] {
                let run = temp.path().join(format!("{method}-{ranks}"));
                done(mpirun(ranks, method, &run, &CALM));
                assert_follows(&run, &alone, &format!("{method} on {ranks} processes"));
            }
        }
    }

    /// The processes that `mpirun` started.
    fn children(parent: &Child) -> Vec<u32> {
        let id = parent.id().to_string();
        let output = Command::new("pgrep").args(["-P", &id, "selfsame"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn checkpoints(run: &Path) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(run.join("checkpoints")) else { return Vec::new() };
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("step-"))
            .collect()
    }

    /// Any rank, not only the one that saves.
    #[test]
    fn a_killed_rank_leaves_a_run_that_goes_on() {
        let temp = tempfile::tempdir().unwrap();
        let long = [&CALM[..], &["--set", "train.epochs=40", "--resume", "auto"]].concat();
        let alone = temp.path().join("alone");
        ok(&pretrain("byol", &alone, &long, "2"));
        for victim in 0..2 {
            let run = temp.path().join(format!("rank-{victim}"));
            let mut job = mpirun(2, "byol", &run, &long);
            let quick = ["--set", "train.checkpoint_minutes=0.001"];
            let mut job =
                job.args(quick).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let limit = Instant::now() + Duration::from_secs(60);
            while checkpoints(&run).is_empty() {
                assert!(Instant::now() < limit && job.try_wait().unwrap().is_none(), "{run:?}");
                std::thread::sleep(Duration::from_millis(2));
            }
            let ranks = children(&job);
            assert_eq!(ranks.len(), 2, "{ranks:?}");
            let killed = Command::new("kill").args(["-9", &ranks[victim].to_string()]).status();
            assert!(killed.unwrap().success());
            let output = job.wait_with_output().unwrap();
            assert!(!output.status.success());
            // On another number of processes, one, it goes on to the same end.
            ok(&pretrain("byol", &run, &long, "2"));
            assert_eq!(steps(&run).len(), steps(&alone).len());
        }
    }

    /// Killed in the middle of a step, which rank 0 then never ends; its last step is not lost all
    /// the same, and nobody can tell from the weights.
    #[test]
    fn a_killed_rank_costs_no_step() {
        let temp = tempfile::tempdir().unwrap();
        let rare =
            ["--set", "train.checkpoint_minutes=1000", "--set", "train.checkpoint_every=1000"];
        let long =
            ["--set", "train.epochs=400", "--set", "train.stop_after=60", "--resume", "auto"];
        let long = [&CALM[..], &rare, &long].concat();
        let (whole, run) = (temp.path().join("whole"), temp.path().join("run"));
        done(mpirun(2, "byol", &whole, &long));

        let mut job = mpirun(2, "byol", &run, &long);
        let mut job = job.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(60);
        while !run.join("metrics.jsonl").exists() || steps(&run).len() < 5 {
            assert!(Instant::now() < limit && job.try_wait().unwrap().is_none(), "{run:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        let last = children(&job).pop().unwrap().to_string();
        assert!(Command::new("kill").args(["-9", &last]).status().unwrap().success());
        let output = job.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let step = steps(&run).len();
        assert!(said.contains(&format!("the state after step {step} is saved")), "{said}");
        assert_eq!(checkpoints(&run).len(), 1, "another one than that: {said}");

        let output = done(mpirun(2, "byol", &run, &long));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&format!("resumed after step {step} of")), "{said}");
        let encoder = |run: &Path| std::fs::read(run.join("encoder.safetensors")).unwrap();
        assert!(encoder(&run) == encoder(&whole));
        // The last line, of the evaluation at the end, says how long training took.
        let metrics = |run: &Path| -> Vec<Value> {
            let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
            let line = |line: &str| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                line.as_object_mut().unwrap().remove("train_seconds");
                line
            };
            text.lines().map(line).collect()
        };
        assert_eq!(metrics(&run), metrics(&whole));
    }

    #[test]
    fn a_signal_to_the_launcher_saves() {
        let temp = tempfile::tempdir().unwrap();
        let run = temp.path().join("run");
        let endless = [&CALM[..], &["--set", "train.epochs=100000"]].concat();
        let mut job = mpirun(2, "byol", &run, &endless);
        let mut job = job.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(60);
        while checkpoints(&run).is_empty() {
            assert!(Instant::now() < limit && job.try_wait().unwrap().is_none(), "{run:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        let id = job.id().to_string();
        assert!(Command::new("kill").args(["-s", "USR1", &id]).status().unwrap().success());
        let output = job.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("everything is saved"), "{said}");
        assert_eq!(output.status.code(), Some(75), "{said}");
    }
}
