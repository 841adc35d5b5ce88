//! What those use who work on this repository, through the real program; peers are scripts.

use std::path::Path;
use std::process::{Command, Output};

fn xtask(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(args)
        .env("SELFSAME_DATA", Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets"))
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .unwrap()
}

fn ok(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The exit status and the one line of the error.
fn error(args: &[&str]) -> (i32, String) {
    let output = xtask(args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), stderr)
}

/// Numbers that JSON's reader may have changed in their last digit.
fn same(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found / expected - 1.0).abs() < 1e-12)
}

#[test]
fn bench_step_measures_beside_a_peer() {
    let temp = tempfile::tempdir().unwrap();
    let peer = temp.path().join("peer.sh");
    std::fs::write(&peer, "echo \"width $1 batch $2 $4: median 0.5 images/s (min 1, max 2)\"\n")
        .unwrap();
    let peer = format!("sh {}", peer.to_str().unwrap());
    let small = ["bench", "step", "--width", "2", "--batch", "2", "--steps", "3", "--size", "8"];
    for precision in ["f32", "bf16"] {
        let more = ["--precision", precision, "--json", "--peer", &peer, "--peer-modes", "a,b"];
        let json = ok(&xtask(&[&small[..], &more].concat()));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["precision"], precision);
        assert_eq!(value["peers"][1]["name"], "b");
        let rate = value["images_per_second"].as_f64().unwrap();
        assert!(rate > 0.0 && same(value["ratio"].as_f64(), rate / 0.5), "{json}");
    }
    let (status, message) = error(&[&small[..], &["--peer", "sh -c exit"]].concat());
    assert!(status == 1 && message.contains("median"), "{message}");
    assert_eq!(error(&["bench", "step", "--batch", "0"]).0, 2);
    // A CPU launches no kernels, and a method's step is nothing but counted.
    for (args, named) in [(["--count"].as_slice(), "--device"), (&["--method", "byol"], "--count")]
    {
        let (status, said) = error(&[&["bench", "step"], args].concat());
        assert!(status == 2 && said.contains(named), "{said}");
    }
}

#[test]
fn bench_kernels_lists_every_kernel_with_its_limit() {
    let args = ["bench", "kernels", "--width", "2", "--batch", "2", "--size", "8", "--runs", "1"];
    let json = ok(&xtask(&[&args[..], &["--json"]].concat()));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(value["peak_gflops"].as_f64().unwrap() > 0.0);
    let kernels = value["kernels"].as_array().unwrap();
    // The first convolution has no gradient for its input.
    let convolutions =
        kernels.iter().filter(|row| row["kernel"].as_str().unwrap().contains("conv"));
    assert_eq!(convolutions.count(), 11 * 3 - 1);
    for row in kernels {
        assert!(row["milliseconds"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["share_of_limit"].as_f64().unwrap() > 0.0, "{row}");
    }
    assert_eq!(error(&["bench", "kernels", "--runs", "0"]).0, 2);
}

#[test]
fn bench_augment_measures_beside_peers() {
    let temp = tempfile::tempdir().unwrap();
    let photos = temp.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    let photo = |x: u32, y: u32| image::Rgb([3 * x as u8, 5 * y as u8, 90]);
    for name in ["a.jpg", "b.JPEG"] {
        let image = image::RgbImage::from_fn(40, 30, photo);
        image.save_with_format(photos.join(name), image::ImageFormat::Jpeg).unwrap();
    }
    // Says something only if it is given the same images.
    let peer = temp.path().join("peer.sh");
    let script = format!(
        "cmp $1/photographs/001.jpg {} && test -f $1/small/499.png && echo '32 px, two views: 0.5 images/s'",
        photos.join("b.JPEG").display()
    );
    std::fs::write(&peer, script).unwrap();
    let peer = format!("sh {} DIR", peer.to_str().unwrap());
    let photos = photos.to_str().unwrap();
    let args = ["bench", "augment", "--images", photos, "--seconds", "0.01", "--rounds", "1"];
    let json = ok(&xtask(&[&args[..], &["--json", "--peer", &peer]].concat()));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["photographs"]["count"], 2);
    assert_eq!(value["photographs"]["pixels"], 40 * 30);
    let cases = value["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        assert!(case["ours"]["one_thread"].as_f64().unwrap() > 0.0, "{case}");
        assert!(case["ours"]["all_threads"].as_f64().unwrap() > 0.0, "{case}");
    }
    let (ours, peer_of) = (&cases[0]["ours"], |case: usize| &cases[case]["peers"][0]);
    // Alone, and then as many of it at once as there are threads.
    for (threads, key) in [(1.0, "one_thread"), (2.0, "all_threads")] {
        assert_eq!(peer_of(0)["rates"][key].as_f64(), Some(0.5 * threads));
        let ratio = ours[key].as_f64().unwrap() / (0.5 * threads);
        assert!(same(peer_of(0)["ratios"][key].as_f64(), ratio), "{json}");
    }
    assert!(peer_of(1).is_null(), "a case that the peer does not have");
    let (status, message) = error(&[&args[..], &["--peer", "sh -c false"]].concat());
    assert!(status == 1 && message.contains("sh -c false"), "{message}");
}

#[test]
fn every_command_of_the_program_is_there_under_its_own_name() {
    let help = ok(&xtask(&["--help"]));
    for command in ["pretrain", "eval", "search", "bench", "torture", "fidelity"] {
        assert!(help.contains(&format!("  {command}")), "{help}");
    }
    let help = ok(&xtask(&["pretrain", "--help"]));
    assert!(help.contains("Usage: cargo xtask pretrain"), "{help}");
    assert!(help.contains("\n  cargo xtask pretrain byol\n"), "{help}");
    assert!(!help.contains("selfsame pretrain"), "{help}");
    let (status, said) = error(&["compare", "byol"]);
    assert!(status == 2 && said.contains("`cargo xtask compare byol"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_campaign_finds_nothing_lost() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("torture");
    let out = out.to_str().unwrap();
    let report = ok(&xtask(&["torture", "--kills", "3", "--faults", "3", "--out", out]));
    let all = report.lines().find(|line| line.contains("**all**")).unwrap();
    let cells: Vec<&str> = all.split('|').map(str::trim).collect();
    assert_eq!((cells[2], cells[5], cells[6]), ("6", "0", "0"), "{report}");
}
