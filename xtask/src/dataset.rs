use std::path::PathBuf;

use clap::{Args, Subcommand};
use selfsame_data::{import, list};
use serde_json::json;

use crate::data::datasets_root;

/// List the data sets, or import images of your own.
#[derive(Args)]
pub struct DatasetArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All data sets that can be named, and whether their files are here.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copy a folder, or unpack a .tar, .tar.gz or .tar.zst archive, to datasets/NAME.
    Import {
        /// What to call it: lower-case letters, digits and dashes.
        name: String,
        /// A folder or an archive.
        path: PathBuf,
    },
}

pub fn run(args: &DatasetArgs) -> anyhow::Result<()> {
    let root = datasets_root();
    match &args.command {
        Command::List { json: true } => {
            let entries: Vec<_> = list(&root)?
                .into_iter()
                .map(|e| {
                    json!({
                        "name": e.name, "present": e.present,
                        "description": e.manifest.as_ref().map(|m| &m.description),
                        "train_images": e.manifest.as_ref().map(|m| m.train_images),
                        "test_images": e.manifest.as_ref().map(|m| m.test_images),
                        "licence": e.manifest.as_ref().map(|m| &m.licence),
                    })
                })
                .collect();
            println!("{}", serde_json::to_string_pretty(&entries)?);
        }
        Command::List { json: false } => {
            println!("{:<16} {:<8} {:>14}  what it is", "name", "files", "train / test");
            for entry in list(&root)? {
                let files = if entry.present { "here" } else { "not here" };
                let (count, what) = match &entry.manifest {
                    Some(m) => {
                        let what = format!("{} [{}]", m.description, m.licence);
                        (format!("{} / {}", m.train_images, m.test_images), what)
                    }
                    None => ("–".into(), "imported".into()),
                };
                println!("{:<16} {files:<8} {count:>14}  {what}", entry.name);
            }
        }
        Command::Import { name, path } => {
            let report = import(path, &root, name)?;
            println!(
                "{} files ({:.1} MB) → {}",
                report.files,
                report.bytes as f64 / 1e6,
                report.folder.display()
            );
            if report.left_out > 0 {
                println!("{} links or special files were left out", report.left_out);
            }
            println!("train on it with `cargo xtask pretrain byol --dataset {name}`");
        }
    }
    Ok(())
}
