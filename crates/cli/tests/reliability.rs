//! What is promised to who pulls the plug: through the real binary.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{SMALL, error, folder_of_images, ok, pretrain, selfsame};
use selfsame::trainers::UNFINISHED;

const STEPS: u64 = 6;

fn encoder(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("encoder.safetensors")).unwrap()
}

/// Without what depends on the time of day.
fn metrics(run: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("train_seconds");
        line.to_string()
    };
    text.lines().map(line).collect()
}

/// Checkpoints by step, the newest first.
fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(run.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("step-"))
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    found.sort();
    found.reverse();
    found
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The first epoch has steps 1 to 3, with an evaluation after the third; so has the second.
#[test]
fn a_run_stopped_at_any_step_and_resumed_on_other_threads_ends_in_the_same_bits() {
    let temp = tempfile::tempdir().unwrap();
    for (i, (method, device, accumulation)) in [
        ("byol", "flex", 1),
        ("byol", "ndarray", 2),
        ("barlow-twins", "flex", 2),
        ("barlow-twins", "ndarray", 1),
    ]
    .into_iter()
    .enumerate()
    {
        let accumulation = format!("train.accumulation={accumulation}");
        let same = ["--device", device, "--set", &accumulation];
        let whole = temp.path().join(format!("whole-{i}"));
        ok(&pretrain(method, &whole, &same, "2"));
        let parts = temp.path().join(format!("parts-{i}"));
        for step in 1..=STEPS {
            let stop = format!("train.stop_after={}", step as f64 / 3.0);
            let more = [&same[..], &["--set", &stop, "--resume", "auto"]].concat();
            let threads = if step.is_multiple_of(2) { "2" } else { "1" };
            ok(&pretrain(method, &parts, &[&more[..], &["--threads", threads]].concat(), threads));
        }
        assert!(encoder(&whole) == encoder(&parts), "{method} on {device}");
        assert_eq!(metrics(&whole), metrics(&parts), "{method} on {device}");
    }
}

/// As on a GPU, whose losses are not read after every step.
#[test]
fn losses_that_are_read_later_are_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let (whole, later) = (temp.path().join("whole"), temp.path().join("later"));
    ok(&pretrain("byol", &whole, &[], "2"));
    let more = ["--resume", "auto", "--set", "train.read_every=2"];
    for stop in ["train.stop_after=0.34", "train.stop_after=1.67", "train.stop_after=2"] {
        ok(&pretrain("byol", &later, &[&more[..], &["--set", stop]].concat(), "2"));
    }
    assert!(encoder(&whole) == encoder(&later));
    assert_eq!(metrics(&whole), metrics(&later));
}

/// A run that goes on until it is told to stop.
fn endless(out: &Path, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selfsame"));
    command.args(["pretrain", "byol", "--out", out.to_str().unwrap()]);
    command.args(SMALL).args(["--set", "train.epochs=100000", "--resume", "auto"]).args(more);
    command.env("SELFSAME_DATA", common::datasets());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

fn wait_until(what: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !what() {
        assert!(Instant::now() < limit, "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn a_signal_saves_and_ends_with_a_status_of_its_own() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    let mut steps = Vec::new();
    for name in ["INT", "TERM", "USR1", "HUP"] {
        let before = checkpoints_if_any(&run);
        let child = endless(&run, &[]);
        wait_until(|| checkpoints_if_any(&run) != before);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(75), "{said}");
        assert!(said.contains("everything is saved") && said.contains("--resume auto"), "{said}");
        steps.push(checkpoints(&run).remove(0));
    }
    assert!(steps.is_sorted() && steps[0] != steps[2], "{steps:?}");
    // What is there can be used.
    ok(&selfsame(&["eval", run.to_str().unwrap(), "--quick"], "2"));
}

fn checkpoints_if_any(run: &Path) -> Vec<PathBuf> {
    if run.join("checkpoints").is_dir() { checkpoints(run) } else { Vec::new() }
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    // A step of a second or more.
    let large = ["data.limit=1000", "train.batch_size=1000", "encoder.base_width=16"];
    let large: Vec<&str> = large.iter().flat_map(|setting| ["--set", setting]).collect();
    let child = endless(&run, &large);
    wait_until(|| run.join("metrics.jsonl").is_file());
    std::thread::sleep(Duration::from_millis(200));
    signal(&child, "INT");
    std::thread::sleep(Duration::from_millis(20));
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
}

#[test]
fn a_run_belongs_to_one_process_until_that_ends_in_whatever_way() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    let mut first = endless(&run, &[]);
    wait_until(|| !checkpoints_if_any(&run).is_empty());
    let same = ["--resume", "auto", "--set", "train.epochs=100000"];
    for more in [&same[..], &["--force"], &[]] {
        let second = pretrain("byol", &run, more, "2");
        assert_eq!(second.status.code(), Some(1));
        assert!(stderr(&second).contains("another process"), "{}", stderr(&second));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    // Killed, it holds nothing any more.
    let other = pretrain("byol", &run, &["--resume", "auto"], "2");
    assert!(stderr(&other).contains("epochs = 100000"), "{}", stderr(&other));
}

#[test]
fn a_run_is_replaced_only_with_force_and_nothing_else_in_the_folder_is() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    ok(&pretrain("byol", &run, &[], "2"));
    let first = encoder(&run);
    let again = pretrain("byol", &run, &["--seed", "1"], "2");
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("--force"), "{}", stderr(&again));
    assert!(first == encoder(&run));

    std::fs::write(run.join("notes.txt"), "mine").unwrap();
    std::fs::write(run.join("checkpoints/mine.txt"), "mine").unwrap();
    ok(&pretrain("byol", &run, &["--seed", "1", "--force", "--set", "train.epochs=1"], "2"));
    assert!(first != encoder(&run));
    assert_eq!(checkpoints(&run).len(), 1, "those of the run before are gone");
    assert!(run.join("notes.txt").is_file() && run.join("checkpoints/mine.txt").is_file());
    let (status, said) = error(&["pretrain", "byol", "--force"]);
    assert!(status == 2 && said.contains("--out"), "{said}");
}

#[test]
fn damage_is_said_and_costs_no_run() {
    let temp = tempfile::tempdir().unwrap();
    let whole = temp.path().join("whole");
    ok(&pretrain("byol", &whole, &[], "2"));
    // Two checkpoints, of steps 3 and 4.
    let stopped = |name: &str| {
        let run = temp.path().join(name);
        for stop in ["train.stop_after=1", "train.stop_after=1.34"] {
            ok(&pretrain("byol", &run, &["--set", stop, "--resume", "auto"], "2"));
        }
        assert_eq!(checkpoints(&run).len(), 2);
        run
    };
    let flip = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let resume = |run: &Path| {
        let output = pretrain("byol", run, &["--resume", "auto"], "1");
        ok(&output);
        assert!(encoder(run) == encoder(&whole), "{}", stderr(&output));
        assert_eq!(metrics(run), metrics(&whole));
        stderr(&output)
    };

    let run = stopped("newest");
    flip(&checkpoints(&run)[0]);
    let said = resume(&run);
    assert!(said.contains("damaged") && said.contains("resumed after step 3"), "{said}");

    // The best one is left, of an evaluated epoch.
    let run = stopped("both");
    checkpoints(&run).iter().for_each(|path| flip(path));
    let said = resume(&run);
    assert!(said.contains("damaged") && said.contains("resumed after step 3"), "{said}");

    let run = stopped("all");
    checkpoints(&run).iter().for_each(|path| flip(path));
    flip(&run.join("checkpoints/best.safetensors"));
    let said = resume(&run);
    assert!(said.contains("starts anew") && !said.contains("resumed after"), "{said}");

    let run = stopped("others");
    std::fs::write(run.join("config.toml"), "seed = ").unwrap();
    std::fs::write(run.join("metrics.jsonl"), "{\"step\": 1, \"loss\": ").unwrap();
    std::fs::write(run.join("checkpoints").join(format!("{UNFINISHED}1")), "half").unwrap();
    let said = resume(&run);
    assert!(said.contains("config.toml") && said.contains("resumed after step 4"), "{said}");
    let names = std::fs::read_dir(run.join("checkpoints")).unwrap();
    assert!(names.flatten().all(|e| !e.file_name().to_string_lossy().starts_with(UNFINISHED)));
}

#[test]
fn images_that_have_changed_are_said() {
    let temp = tempfile::tempdir().unwrap();
    let photos = folder_of_images(temp.path(), 12);
    let run = temp.path().join("run");
    let part = |more: &[&str]| {
        let mut args = vec!["pretrain", "byol", "--images", photos.to_str().unwrap()];
        args.extend(["--out", run.to_str().unwrap(), "--resume", "auto"]);
        args.extend(["--set", "train.batch_size=4", "--set", "encoder.base_width=2"]);
        args.extend(["--set", "train.epochs=2"]);
        args.extend(more);
        let output = selfsame(&args, "2");
        ok(&output);
        stderr(&output)
    };
    part(&["--set", "train.stop_after=0.34"]);
    assert!(!part(&["--set", "train.stop_after=1"]).contains("changed since"));
    // The same bytes, written later.
    let photo = photos.join("03.png");
    std::fs::write(&photo, std::fs::read(&photo).unwrap()).unwrap();
    assert!(part(&[]).contains("changed since"));
}

/// As when a disk fails: the shard that the images lie in is gone, and comes back.
#[cfg(unix)]
#[test]
fn images_that_vanish_during_a_run_leave_it_saved_after_its_last_step() {
    let temp = tempfile::tempdir().unwrap();
    let photos = folder_of_images(temp.path(), 12);
    let shards = temp.path().join("shards");
    std::fs::create_dir(&shards).unwrap();
    let (shard, away) = (shards.join("train-000.tar"), temp.path().join("away.tar"));
    let names = (0..12).map(|i| format!("{i:02}.png"));
    let tar =
        Command::new("tar").arg("-cf").arg(&shard).arg("-C").arg(&photos).args(names).status();
    assert!(tar.unwrap().success());
    // What fits into memory stays there, and no longer needs its files. Packed images are read anew
    // each time, and from the set itself where the pack is damaged.
    let packs = temp.path().join("datasets/.packs");
    std::fs::create_dir_all(&packs).unwrap();
    // Between steps, and with an evaluation after every step, which reads the images longer than
    // the step does.
    for evaluated in [false, true] {
        let run = temp.path().join(format!("evaluated-{evaluated}"));
        let (every, batch, steps_per_epoch) = if evaluated { (1, 12, 1) } else { (0, 4, 3) };
        let start = |stop_after: u64| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_selfsame"));
            command.args(["pretrain", "byol", "--images", shards.to_str().unwrap()]);
            command.args(["--out", run.to_str().unwrap(), "--resume", "auto"]);
            command.args(["--set", "train.epochs=100000", "--set", "encoder.base_width=2"]);
            command.args(["--set", "data.pack=on"]);
            command.args(["--set", &format!("train.batch_size={batch}")]);
            command.args(["--set", &format!("eval.every={every}")]);
            command.args(["--set", &format!("train.stop_after={stop_after}")]);
            command.env("SELFSAME_DATA", temp.path().join("datasets"));
            command.env("RAYON_NUM_THREADS", "2");
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let mut child = start(100_000);
        wait_until(|| !checkpoints_if_any(&run).is_empty());
        std::fs::rename(&shard, &away).unwrap();
        for entry in std::fs::read_dir(&packs).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "pack") {
                std::fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
            }
        }
        let limit = Instant::now() + Duration::from_secs(60);
        while child.try_wait().unwrap().is_none() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("is intact") && said.contains("--resume auto"), "{said}");
        let mut steps = metrics(&run).into_iter().filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            line["loss"].as_f64()?;
            line["step"].as_u64()
        });
        let last = steps.next_back().unwrap();
        let newest = checkpoints(&run).remove(0);
        assert!(newest.ends_with(format!("step-{last:010}.safetensors")), "{newest:?}, {last}");

        std::fs::rename(&away, &shard).unwrap();
        let end = last / steps_per_epoch + 1;
        let output = start(end).wait_with_output().unwrap();
        ok(&output);
        let said = stderr(&output);
        assert!(said.contains(&format!("resumed after step {last} ")), "{said}");
        // An evaluation that failed is made up for: each epoch has one, none has two. So has the
        // run's end.
        let epochs = metrics(&run).into_iter().filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            line["effective_rank"].as_f64()?;
            line["epoch"].as_u64()
        });
        let expected: Vec<u64> = if evaluated { (1..=end).collect() } else { vec![end] };
        assert_eq!(epochs.collect::<Vec<_>>(), expected, "{said}");
    }
}

#[test]
fn another_run_is_not_taken_for_this_one() {
    let temp = tempfile::tempdir().unwrap();
    let (run, wide) = (temp.path().join("run"), temp.path().join("wide"));
    ok(&pretrain("byol", &run, &[], "2"));
    let first = encoder(&run);
    let wider = ["--set", "encoder.base_width=4"];
    let other = pretrain("byol", &run, &[&wider[..], &["--resume", "auto"]].concat(), "2");
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("base_width"), "{}", stderr(&other));

    // An intact checkpoint of another run in this one's folder.
    ok(&pretrain("byol", &wide, &wider, "2"));
    std::fs::copy(&checkpoints(&wide)[0], &checkpoints(&run)[0]).unwrap();
    let foreign = pretrain("byol", &run, &["--resume", "auto"], "2");
    assert_eq!(foreign.status.code(), Some(2));
    assert!(stderr(&foreign).contains("base_width"), "{}", stderr(&foreign));
    assert!(first == encoder(&run));
}
