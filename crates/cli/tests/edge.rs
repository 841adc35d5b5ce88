//! The edge of the program: readers that stop reading, closed terminals, thousands of threads,
//! names that are mistyped, requests that cannot work. Through the real binary.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{SMALL, error, field, folder_of_images, ok, png, pretrain, selfsame};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The binary, called from `cwd`.
fn command(cwd: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selfsame"));
    command.args(args).current_dir(cwd).env("SELFSAME_DATA", common::datasets());
    command.env("RAYON_NUM_THREADS", "2").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Settings of a tiny run on a folder of a dozen images, three steps in each of two epochs.
const TINY: [&str; 6] =
    ["--set", "train.batch_size=4", "--set", "encoder.base_width=2", "--set", "train.epochs=2"];

fn wait_until(what: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !what() {
        assert!(Instant::now() < limit, "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(run.join("checkpoints")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let step = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        name.starts_with("step-") && name.ends_with(".safetensors")
    };
    let mut found: Vec<PathBuf> = paths.filter(step).collect();
    found.sort();
    found
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    for args in [
        &["recipes"][..],
        &["dataset", "list"],
        &["dataset", "list", "--json"],
        &["dataset", "info", "cifar10"],
        &["config", "byol"],
    ] {
        let mut child = command(Path::new("."), args).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn results_that_a_full_disk_loses_are_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(Path::new("."), &["config", "byol"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: the results could not be written"));
}

#[test]
fn a_run_that_nobody_listens_to_saves_everything() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    let args = ["pretrain", "byol", "--out", run.to_str().unwrap()];
    let mut child = command(temp.path(), &[&args[..], &SMALL].concat()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    for file in ["encoder.safetensors", "summary.json", "report.html", "metrics.jsonl"] {
        assert!(run.join(file).is_file(), "{file}");
    }
    assert!(!checkpoints(&run).is_empty());
}

/// A run that goes on until it is told to stop.
fn endless(program: &mut Command, run: &Path) -> Child {
    program.args(["pretrain", "byol", "--out", run.to_str().unwrap()]);
    program.args(SMALL).args(["--set", "train.epochs=100000"]);
    program.env("SELFSAME_DATA", common::datasets()).env("RAYON_NUM_THREADS", "2");
    let child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(|| !checkpoints(run).is_empty());
    child
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_closed_terminal_saves_the_run_and_nohup_lets_it_go_on() {
    let temp = tempfile::tempdir().unwrap();
    let mut child =
        endless(&mut Command::new(env!("CARGO_BIN_EXE_selfsame")), &temp.path().join("a"));
    // The kernel sends it, and so does the shell.
    signal(&child, "HUP");
    signal(&child, "HUP");
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(75));

    let run = temp.path().join("b");
    let child = endless(Command::new("nohup").arg(env!("CARGO_BIN_EXE_selfsame")), &run);
    signal(&child, "HUP");
    let before = checkpoints(&run);
    wait_until(|| checkpoints(&run) != before);
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
}

#[test]
fn thousands_of_threads_are_bounded_and_said() {
    let temp = tempfile::tempdir().unwrap();
    let encoder = |run: &Path| std::fs::read(run.join("encoder.safetensors")).unwrap();
    let (two, many) = (temp.path().join("two"), temp.path().join("many"));
    ok(&pretrain("byol", &two, &[], "2"));
    let more = ["--threads", "100000", "--set", "data.threads=5000"];
    let output = pretrain("byol", &many, &more, "1000");
    ok(&output);
    let said = stderr(&output);
    for (by, asked) in [("--threads", "100000"), ("data.threads", "5000")] {
        let line = format!("{by}: {asked} threads are too many for ");
        assert_eq!(said.matches(&line).count(), 1, "{said}");
    }
    assert!(encoder(&two) == encoder(&many), "threads change the result");
    let output = selfsame(&["recipes"], "1000");
    let said = stderr(&output);
    assert!(said.starts_with("RAYON_NUM_THREADS: 1000 threads are too many"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(error(&["pretrain", "byol", "--threads", "0"]).0, 2);
}

#[test]
fn names_are_understood_however_they_are_written() {
    let config = |args: &[&str]| ok(&selfsame(&[&["config"], args].concat(), "2"));
    let byol = config(&["byol"]);
    assert_eq!(config(&["BYOL"]), byol);
    assert_eq!(config(&["byol", "--dataset", "Fashion_Mini"]), byol);
    assert_eq!(config(&["Barlow_Twins"]), config(&["barlow-twins"]));
    let recipe = |name| config(&["byol", "--recipe", name]);
    assert_eq!(recipe("CIFAR10_1000ep"), recipe("cifar10-1000ep"));
    let set = |assignment| config(&["byol", "--set", assignment]);
    assert_eq!(set("Train.batch-size=16"), set("train.batch_size=16"));
}

#[test]
fn what_is_mistyped_is_asked_about() {
    for (args, answer) in [
        (&["pretrain", "boyl"][..], "did you mean byol?"),
        (&["pretrain", "byol", "--dataset", "fashon-mini"], "did you mean fashion-mini?"),
        (&["dataset", "info", "Fashion_Minni"], "did you mean fashion-mini?"),
        (&["config", "byol", "--recipe", "cifar10-1000e"], "did you mean cifar10-1000ep?"),
        (&["config", "byol", "--set", "train.epoch=5"], "--set train.epochs=5"),
        (&["config", "byol", "--set", "epochs=5"], "--set train.epochs=5"),
        (&["config", "byol", "--set", "optimiser.name=lars"], "--set optimizer.name=lars"),
        (&["config", "byol", "--set", "optimizer.name=adam"], "did you mean adamw?"),
        (&["config", "byol", "--set", "barlow_twins.lambda=1"], "a setting of barlow-twins"),
        (&["pretrain", "byol", "--epochs", "5"], "--set train.epochs=5"),
        (&["pretrain", "byol", "--epochs=5"], "--set train.epochs=5"),
        (&["pretrain", "byol", "--lr", "0.1"], "--set optimizer.learning_rate=0.1"),
        (&["pretrain", "byol", "--batch-size", "64"], "--set train.batch_size=64"),
        (&["pretrain", "byol", "--stop-after", "3"], "--set train.stop_after=3"),
        (&["pretrain", "byol", "--workers", "4"], "--threads N"),
        (&["pretrain", "byol", "--output", "x"], "--out DIR"),
        (&["pretrain", "byol", "--data", "x"], "--images DIR"),
        (&["pretrain", "byol", "--gpu", "0"], "--device cuda"),
        (&["eval", "x", "--epochs", "5"], "`selfsame eval` does not take --epochs"),
        (&["pretrain", "byol", "-o", "x"], "`selfsame pretrain --help` says what it takes"),
        // A slip in a flag that there is: clap's own words.
        (&["pretrain", "byol", "--ressume", "auto"], "'--resume'"),
        // A word too many.
        (&["pretrain", "byol", "my photos"], "--images 'my photos'"),
        (&["pretrain", "byol", "train.epochs=3"], "--set train.epochs=3"),
        (&["pretrain", "byol", "simclr"], "`selfsame compare` takes several"),
        (&["search", "runs/x", "a.jpg"], "--query a.jpg"),
        (&["dataset", "list", "cifar10"], "`selfsame dataset list` does not take cifar10"),
        // Commands.
        (&["pretrian"], "did you mean `selfsame pretrain`?"),
        (&["help", "pretrian"], "did you mean `selfsame pretrain`?"),
        (&["dataset", "help", "inspct"], "did you mean `selfsame dataset inspect`?"),
        (&["list"], "did you mean `selfsame dataset list`?"),
        (&["byol"], "did you mean `selfsame pretrain byol`?"),
        (&["xyz"], "there is no command xyz; `selfsame --help` lists the commands"),
        // What is missing.
        (&["pretrain"], "missing: <METHOD>; an example: `selfsame pretrain byol`"),
        (
            &["embed", "runs/x"],
            "missing: --out <FILE> and --images <DIR>; an example: `selfsame embed",
        ),
    ] {
        let (status, said) = error(args);
        assert!(status == 2 && said.contains(answer), "{args:?}: {status} {said}");
    }
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("mine.toml");
    std::fs::write(&file, "[train]\nepoch = 5\n").unwrap();
    let (status, said) = error(&["config", "byol", "--config", file.to_str().unwrap()]);
    assert!(status == 2 && said.contains("mine.toml: train.epoch"), "{said}");
    assert!(said.contains("did you mean --set train.epochs=5?"), "{said}");
}

/// Words of the language that this is written in, which a reader need not know.
const RUST: [&str; 12] = [
    "usize",
    "u64",
    "f32",
    "f64",
    "struct",
    "variant",
    "enum",
    "invalid type",
    "literal",
    "digit",
    "untagged",
    "expected",
];

#[test]
fn what_is_wrong_with_a_value_is_said_in_plain_words() {
    for (set, words) in [
        ("train.epochs=many", "train.epochs = \"many\": a whole number"),
        ("train.epochs=-1", "train.epochs = -1: a whole number of at least 0"),
        ("train.epochs=1.5", "train.epochs = 1.5: a whole number"),
        ("train=3", "train = 3: it is a section"),
        ("optimizer.nesterov=1", "optimizer.nesterov = 1: true or false"),
        ("optimizer.learning_rate=fast", "optimizer.learning_rate = \"fast\": a number"),
        ("optimizer.name=sgdd", "did you mean sgd? sgd, adamw or lars is wanted"),
        ("byol.tau_base=high", "byol.tau_base = \"high\": a number"),
        ("byol.tau_schedule=flat", "byol.tau_schedule = \"flat\": "),
        ("byol.predictor=perhaps", "byol.predictor = \"perhaps\": true or false"),
        ("views.crop_scale=0.5", "views.crop_scale = 0.5: a list of two numbers"),
        ("views.crop_scale=[0.5]", "a list of two numbers"),
        ("views.mean=[1, 2]", "a list of three numbers"),
        ("eval.labels=[1]", "eval.labels = [1]: it is: labels for the probes"),
        ("device=3", "device = 3: a name or text"),
        ("precision=f16", "f32 or bf16 is wanted"),
        ("data.pack=maybe", "auto, on or off is wanted"),
    ] {
        let (status, said) = error(&["config", "byol", "--set", set]);
        assert!(status == 2 && said.contains(words), "{set}: {status} {said}");
        let plain = said.replace("f32 or bf16 is wanted", "").replace("did you mean f32?", "");
        assert!(!RUST.iter().any(|word| plain.contains(word)), "{set}: {said}");
    }
    let (status, said) = error(&["config", "barlow-twins", "--set", "barlow_twins.projector=8"]);
    assert!(status == 2 && said.contains("barlow_twins.projector = 8: a list"), "{said}");
    for args in [["--limit", "many"], ["--seed", "x"], ["--seed", "-1"], ["--fraction", "half"]] {
        let (status, said) = error(&[&["config", "byol"], &args[..]].concat());
        assert!(status == 2 && said.contains("number is wanted"), "{said}");
        assert!(!RUST.iter().any(|word| said.contains(word)), "{said}");
    }
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("mine.toml");
    std::fs::write(&file, "seed = 1\n[train\nepochs = 5\n").unwrap();
    let (status, said) = error(&["config", "byol", "--config", file.to_str().unwrap()]);
    assert!(status == 2 && said.contains("mine.toml, line 2"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn requests_that_cannot_work_are_status_two() {
    let temp = tempfile::tempdir().unwrap();
    let photos = folder_of_images(temp.path(), 12);
    let photos = photos.to_str().unwrap();
    let at = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
    let (run, empty, text) = (at("run"), at("empty"), at("a.txt"));
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(&text, "no image").unwrap();
    ok(&selfsame(
        &[&["pretrain", "byol", "--images", photos, "--out", &run], &TINY[..]].concat(),
        "2",
    ));
    let (photo, nowhere, out) = (format!("{photos}/00.png"), at("nowhere"), at("never"));
    let (npy, weights) = (at("f.npy"), format!("{run}/config.toml"));
    let run = run.as_str();
    for (args, word) in [
        (&["pretrain", "byol", "--out", &out, "--images", &nowhere][..], "nowhere"),
        (
            &["pretrain", "byol", "--out", &out, "--images", &photo],
            "give the folder that it lies in",
        ),
        (&["pretrain", "byol", "--out", &out, "--images", &empty], "no readable image"),
        (&["pretrain", "byol", "--out", &out, "--dataset", "imagenot"], "imagenot"),
        (&["pretrain", "byol", "--out", &out, "--config", &nowhere], "nowhere"),
        (&["pretrain", "byol", "--out", &out, "--recipe", "none"], "none"),
        (&["config", "byol", "--images", &photo], "give the folder that it lies in"),
        (&["eval", &nowhere], "there is no run"),
        (&["eval", run, "--quick", "--weights", &nowhere], "nowhere"),
        (&["eval", run, "--quick", "--images", &nowhere], "nowhere"),
        (&["eval", run, "--quick", "--images", &photo], "give the folder that it lies in"),
        (&["eval", run, "--quick", "--dataset", "imagenot"], "imagenot"),
        (&["embed", run, "--images", &nowhere, "--out", &npy], "nowhere"),
        (&["embed", run, "--dataset", "imagenot", "--out", &npy], "imagenot"),
        (&["search", run, "--query", &nowhere], "nowhere"),
        (&["search", run, "--query", &text], "a.txt"),
        (&["search", run, "--query", &photo, "--images", &nowhere], "nowhere"),
        (&["replay", run], "nothing to replay"),
        (&["report", &nowhere], "nowhere"),
        (&["compare", "byol", "simclr", "--out", &out, "--images", &photo], "give the folder"),
        (&["augment", "--images", &nowhere, "--out", &at("a.png")], "nowhere"),
        (&["dataset", "info", "imagenot"], "imagenot"),
        (&["dataset", "verify", "imagenot"], "imagenot"),
        (&["dataset", "download", "imagenot"], "imagenot"),
        (&["dataset", "import", "mine", &nowhere], "nowhere"),
    ] {
        let (status, said) = error(args);
        assert!(status == 2 && said.contains(word), "{args:?}: {status} {said}");
        assert!(said.matches("No such file").count() <= 1, "{args:?}: said twice: {said}");
        assert!(!Path::new(&out).join("config.toml").exists(), "{args:?}");
    }
    // Damaged is not the same as wrong.
    let (status, said) = error(&["eval", run, "--quick", "--weights", &weights]);
    assert!(status == 1, "{status} {said}");
}

/// The line after "go on with", as a shell takes it apart.
fn line_to_paste(said: &str) -> Vec<String> {
    let line = said.lines().find(|line| line.trim().starts_with("selfsame pretrain")).unwrap();
    let sh = Command::new("sh").arg("-c").arg(format!("printf '%s\\n' {line}")).output().unwrap();
    let words = String::from_utf8(sh.stdout).unwrap();
    words.lines().skip(1).map(str::to_owned).collect()
}

#[cfg(unix)]
#[test]
fn the_line_after_ctrl_c_goes_on_from_anywhere_and_contradictions_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let (here, there) = (temp.path().join("here"), temp.path().join("there"));
    std::fs::create_dir_all(&there).unwrap();
    folder_of_images(&here, 12);
    let run = here.join("my runs/it");
    let out = run.to_str().unwrap();
    let args = ["pretrain", "byol", "--images", "photos", "--out", out, "--seed", "3"];
    let args = [&args[..], &TINY, &["--set", "train.epochs=100000"]].concat();
    let child = command(&here, &args).spawn().unwrap();
    wait_until(|| !checkpoints(&run).is_empty());
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));

    let line = line_to_paste(&stderr(&output));
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    assert_eq!(words, ["pretrain", "byol", "--out", out, "--resume", "auto"]);
    let more = |more: &[&str]| command(&there, &[&words[..], more].concat()).output().unwrap();
    for (given, word) in [
        (&["--set", "train.epochs=3"][..], "train.epochs = 100000, and 3 was asked for"),
        (&["--seed", "4"], "seed = 3, and 4 was asked for"),
        (&["--dataset", "shapes"], "dataset"),
        (&["--recipe", "cifar10-200ep"], "was asked for"),
    ] {
        let output = more(given);
        let said = stderr(&output);
        assert!(output.status.code() == Some(2) && said.contains(word), "{given:?}: {said}");
    }
    let (status, said) = error(&["pretrain", "simclr", "--out", out, "--resume", "auto"]);
    assert!(status == 2 && said.contains("is one of byol, not of simclr"), "{said}");

    // The same images, by another path; and settings that decide nothing.
    let by_link = ["--images", "../here/photos", "--threads", "1", "--seed", "3"];
    let step = |path: &Path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        name.trim_start_matches("step-").parse::<f64>().unwrap()
    };
    let stop = step(checkpoints(&run).last().unwrap()) / 3.0 + 1.0;
    let stop = format!("train.stop_after={stop}");
    let output = more(&[&by_link[..], &["--set", &stop, "--json"]].concat());
    let summary = ok(&output);
    assert!(stderr(&output).contains("resumed after step"), "{}", stderr(&output));
    // That stop was meant for that part only: the next one has somewhere to go.
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    let images = std::fs::canonicalize(here.join("photos")).unwrap();
    assert!(config.contains(&format!("images = {:?}", images.to_str().unwrap())), "{config}");
    let scored = command(&there, &["eval", out, "--quick", "--json"]).output().unwrap();
    assert_eq!(field(&ok(&scored), "feature_std"), field(&summary, "feature_std"));
}

#[test]
fn images_that_were_added_are_said_and_the_statistics_stay() {
    let temp = tempfile::tempdir().unwrap();
    let photos = folder_of_images(temp.path(), 12);
    let run = temp.path().join("run");
    let (images, out) = (photos.to_str().unwrap(), run.to_str().unwrap());
    let first = ["pretrain", "byol", "--images", images, "--out", out];
    ok(&selfsame(&[&first[..], &TINY, &["--set", "train.stop_after=1"]].concat(), "2"));
    let statistics = || {
        let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
        let lines = config.lines().filter(|line| {
            ["mean = ", "std = ", "size = ", "stem = "].iter().any(|key| line.starts_with(key))
        });
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = statistics();
    assert_eq!(before.len(), 4, "{before:?}");
    png(&photos.join("new-1.png"), 250);
    png(&photos.join("new-2.png"), 255);
    let output = selfsame(&["pretrain", "byol", "--out", out, "--resume", "auto", "--json"], "2");
    let summary = ok(&output);
    let said = stderr(&output);
    assert!(said.contains("changed since") && said.contains("resumed after step 3"), "{said}");
    assert_eq!(field(&summary, "train_images"), 14.0);
    assert!(summary.contains("\"finished\": true"), "{summary}");
    assert_eq!(statistics(), before);
}

/// Those who type `--out .` mean the place of a new folder. They do not want a dozen files there.
#[test]
fn a_run_or_a_study_does_not_lie_among_other_files() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("mine");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    let small = [&SMALL[..], &["--set", "train.epochs=1"]].concat();
    for args in [
        &["pretrain", "byol", "--out", "."][..],
        &["pretrain", "byol", "--out", ".", "--force"],
        &["pretrain", "byol", "--out", ".", "--resume", "auto"],
        &["pretrain", "byol", "--out", "/"],
        &["compare", "byol", "simclr", "--out", "."],
        &["ablate", "byol", "--out", "."],
    ] {
        let output = command(&folder, &[args, &small].concat()).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("holds other files; choose a new or an empty folder"), "{said}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    let file = folder.join("notes.txt");
    let (status, said) = error(&["pretrain", "byol", "--out", file.to_str().unwrap()]);
    assert!(status == 2 && said.contains("is a file"), "{said}");
    // Hidden files, and what an interrupted start leaves, are in nobody's way.
    std::fs::remove_file(folder.join("notes.txt")).unwrap();
    std::fs::write(folder.join(".hidden"), "mine").unwrap();
    std::fs::create_dir(folder.join("checkpoints")).unwrap();
    ok(&command(&folder, &[&["pretrain", "byol", "--out", "."][..], &small].concat())
        .output()
        .unwrap());
    // Beside a run there may be notes.
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    let again = ["pretrain", "byol", "--out", ".", "--resume", "auto"];
    ok(&command(&folder, &[&again[..], &small].concat()).output().unwrap());
}

#[test]
fn help_is_true() {
    let help = |args: &[&str]| ok(&selfsame(args, "2"));
    for name in ["embed", "augment", "replay", "dataset", "report", "config", "recipes", "search"] {
        let text = help(&[name, "--help"]);
        assert!(text.contains(&format!("Examples:\n  selfsame {name}")), "{text}");
    }
    assert!(!help(&["replay", "--help"]).contains("--threads"));
    let pretrain = help(&["pretrain", "--help"]);
    for word in [".tar.gz", "Parquet", "val/", "dataset inspect", "SIGHUP"] {
        assert!(pretrain.contains(word), "{word} is not in {pretrain}");
    }
}
