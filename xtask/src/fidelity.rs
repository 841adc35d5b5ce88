use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;

/// Run the reference tests and write what they measured to docs/FIDELITY.md.
///
/// For those who work on Selfsame itself; it needs the source tree and no Python.
#[derive(Args)]
pub struct FidelityArgs {
    /// Write the page here instead.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The test programs that measure.
const TESTS: [&str; 3] = ["reference", "reference_f64", "torchvision"];

/// One measurement, as `tests/src/fidelity.rs` writes it.
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
    let status = command
        .env("SELFSAME_FIDELITY", folder.path())
        .status()
        .context("cannot run the reference tests")?;
    let page = page(&items(folder.path())?);
    let out = args.out.clone().unwrap_or_else(|| root.join("docs/FIDELITY.md"));
    std::fs::write(&out, page).with_context(|| out.display().to_string())?;
    println!("{}", out.display());
    if !status.success() {
        bail!("some references were missed; the page shows by how much");
    }
    Ok(())
}

fn items(folder: &Path) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let text = std::fs::read_to_string(entry?.path())?;
        items.push(serde_json::from_str::<Item>(&text)?);
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
