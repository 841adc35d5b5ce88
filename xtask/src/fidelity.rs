//! `cargo xtask fidelity`: measures how far our numbers are from the references.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;

/// Run the reference tests and write their measurements to docs/FIDELITY.md.
///
/// This is for work on Selfsame itself. It needs the source tree and no Python.
#[derive(Args)]
pub struct FidelityArgs {
    /// Write the page here.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The test programs that measure.
const TESTS: [&str; 3] = ["reference", "reference_f64", "torchvision"];

/// One measurement, in the format of `tests/src/fidelity.rs`.
#[derive(Deserialize)]
struct Item {
    name: String,
    reference: String,
    cases: usize,
    worst: f64,
    worst_case: String,
    bound: f64,
    note: String,
}

/// How Burn was built in the tests of the losses in extreme conditions, as `tests/src/extremes.rs`
/// names it.
const FEATURES: [&str; 2] = ["bare", "simd"];

/// The worst errors of a loss in one condition, as `tests/src/extremes.rs` writes them: (value,
/// gradient).
#[derive(Deserialize)]
struct Extreme {
    loss: String,
    condition: String,
    ours: [f64; 2],
    torch: [f64; 2],
}

pub fn run(args: &FidelityArgs) -> anyhow::Result<()> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
    let folder = tempfile::tempdir().context("cannot make a folder for the measurements")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["test", "--release", "--workspace", "--no-fail-fast"]);
    TESTS.iter().for_each(|test| {
        command.args(["--test", test]);
    });
    // A separate project, so that no other crate adds features to Burn.
    let mut bare = Command::new(command.get_program());
    bare.current_dir(root)
        .args([
            "test",
            "--release",
            "--manifest-path",
            "tests/bare/Cargo.toml",
            "--test",
            "reference",
        ])
        .args(["--target-dir", "target/examples"]);
    let mut success = true;
    for mut tests in [command, bare] {
        let status = tests.env("SELFSAME_FIDELITY", folder.path()).status();
        success &= status.context("cannot run the reference tests")?.success();
    }
    let page = page(&items(folder.path())?) + &extremes(folder.path())?;
    let out = args.out.clone().unwrap_or_else(|| root.join("docs/FIDELITY.md"));
    std::fs::write(&out, page).with_context(|| out.display().to_string())?;
    println!("{}", out.display());
    if !success {
        bail!("some values differ from their references; the page shows by how much");
    }
    Ok(())
}

fn items(folder: &Path) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            let text = std::fs::read_to_string(path)?;
            items.push(serde_json::from_str::<Item>(&text)?);
        }
    }
    if items.is_empty() {
        bail!("the reference tests measured nothing; did they compile?");
    }
    items.sort_by_key(|item| item.name.to_lowercase());
    Ok(items)
}

fn page(items: &[Item]) -> String {
    let mut page = String::from(
        "# Fidelity\n\n\
         How far Selfsame's numbers are from those of PyTorch, torchvision, lightly and scikit-learn.\n\
         Written by `cargo xtask fidelity` from the output of the tests in `tests/tests/reference*` and of\n\
         `crates/augment/tests/torchvision.rs`; the references were computed in f64 by `tests/reference/generate.py`, with the versions in\n\
         `tests/reference/requirements.txt`. Our side runs in f32 on the Flex backend unless a row says\n\
         f64.\n\n\
         An error is `max |ours − reference| / max |reference|` over one tensor. The worst over all\n\
         cases is shown, and the tests fail beyond the bound. References are stored in f32, so 6e-8 is\n\
         as near as any of them can be met.\n\n\
         | what | reference | cases | worst error | bound | worst in |\n\
         | --- | --- | --: | --: | --: | --- |\n",
    );
    let mut notes = String::new();
    for (i, item) in items.iter().enumerate() {
        let mark = if item.note.is_empty() { String::new() } else { format!(" [{}]", i + 1) };
        page += &format!(
            "| {}{mark} | {} | {} | {:.1e} | {:.0e} | {} |\n",
            item.name, item.reference, item.cases, item.worst, item.bound, item.worst_case
        );
        if !item.note.is_empty() {
            notes += &format!("- [{}] {}.\n", i + 1, item.note);
        }
    }
    page + "\n"
        + &notes
        + "\nThe mistakes that published codes have made are tests of their own, by name, in\n\
           `tests/tests/traps.rs`.\n"
}

/// The losses in extreme conditions, beside PyTorch.
fn extremes(folder: &Path) -> anyhow::Result<String> {
    let [bare, simd] = FEATURES.map(|features| {
        let path = folder.join("extremes").join(features).with_extension("json");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok::<Vec<Extreme>, anyhow::Error>(serde_json::from_str(&text)?)
    });
    let (bare, simd) = (bare?, simd?);
    let mut table = String::from(
        "\n## The losses on wide embeddings, far from 0, and with half of a batch alike\n\n\
         The reference is `tests/reference/extremes.py` in f64, with lightly's losses where it has them.\n\
         *PyTorch* is the same code in f32 on the same inputs. Ours runs in f32 on the Flex backend: *bare*\n\
         with no features of Burn but `std`, `autodiff`, `flex` and `optim` (`tests/bare`), *simd* as this\n\
         workspace builds it.\n\n\
         A value's error is relative to the value, a gradient's to its largest element or to its norm. The\n\
         worst over four shapes is shown: 8 × 8192, 256 × 2048, 37 × 513 and 16 × 8. A test fails where an\n\
         error is more than rounding and more than three times PyTorch's.\n\n\
         *Far from 0*: 1000 is added to every feature. *Half alike*: the second half of each view repeats\n\
         its first row. W-MSE has other shapes: 256 × 64, 64 × 31, 37 × 13 and 16 × 4. With no more vectors\n\
         than dimensions, whitening makes the same simplex of any batch, and there is no gradient to\n\
         compare.\n\n\
         | loss | condition | value, bare | simd | PyTorch | gradient, bare | simd | PyTorch |\n\
         | --- | --- | --: | --: | --: | --: | --: | --: |\n",
    );
    for (bare, simd) in bare.iter().zip(&simd) {
        table += &format!("| {} | {} |", bare.loss, bare.condition);
        for part in 0..2 {
            let errors = [bare.ours[part], simd.ours[part], bare.torch[part]];
            table += &errors.map(|error| format!(" {error:.1e} |")).concat();
        }
        table += "\n";
    }
    Ok(table)
}
