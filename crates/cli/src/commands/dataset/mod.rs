//! `selfsame dataset`

mod download;
mod info;
mod inspect;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use selfsame::data::{import, list};
use serde_json::json;

use selfsame::workshop::words::{plain, shown};
use selfsame::{BUILT_IN, datasets};

/// List, describe, inspect, download, import and verify data sets.
///
/// Data sets are in the folder that the environment variable SELFSAME_DATA names. Without it, that
/// is ~/.local/share/selfsame/datasets, or datasets/ in a checkout of Selfsame.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame dataset list
  selfsame dataset inspect my-photos/
  selfsame dataset download cifar10
  selfsame pretrain byol --dataset cifar10")]
pub struct DatasetArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List all known data sets, and whether their files are here.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Describe one data set: content, licence, whom to cite, which files are here.
    #[command(after_help = "Example:
  selfsame dataset info stl10")]
    Info {
        /// A name that `dataset list` shows.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    Inspect(inspect::InspectArgs),
    Download(download::DownloadArgs),
    Verify(verify::VerifyArgs),
    /// Copy a folder, or unpack a .tar, .tar.gz, .tar.zst or .zip archive, to the data sets'
    /// folder.
    ///
    /// Writes a SHA256SUMS of all files. `dataset verify NAME` later uses it to find changes. Some
    /// data sets of the catalogue cannot be downloaded, such as imagenet-1k. Import them under their
    /// name. The program then knows the licence, and warns if images are missing.
    #[command(after_help = "Examples:
  selfsame dataset import holidays my-photos/
  selfsame dataset import imagenet-1k /data/imagenet")]
    Import {
        /// The name of the data set: lower-case letters, digits and dashes.
        name: String,
        /// A folder or an archive.
        path: PathBuf,
    },
}

pub fn run(args: &DatasetArgs) -> anyhow::Result<()> {
    let root = datasets();
    match &args.command {
        Command::Info { name, json } => info::run(name, *json, &root)?,
        Command::Inspect(args) => inspect::run(args, &root)?,
        Command::Download(args) => download::run(args, &root)?,
        Command::Verify(args) => verify::run(args, &root)?,
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
            let entries = list(&root)?;
            let names: Vec<_> = entries.iter().map(|entry| plain(&entry.name)).collect();
            let wide = names.iter().map(|name| name.len()).max().unwrap_or(0).max(4);
            println!("{:<wide$} {:<8} {:>15}  what it is", "name", "files", "train / test");
            for (entry, name) in entries.iter().zip(&names) {
                let files = match entry.present {
                    true => "here",
                    false if entry.name == BUILT_IN => "built in",
                    false => "not here",
                };
                let (count, what) = match &entry.manifest {
                    Some(m) => {
                        let what = format!("{} [{}]", m.description, m.licence);
                        (format!("{} / {}", m.train_images, m.test_images), what)
                    }
                    None if entry.problem.is_some() => {
                        let problem = entry.problem.as_deref().unwrap_or_default();
                        let line = problem.lines().last().unwrap_or_default().trim();
                        ("–".into(), format!("its manifest cannot be used: {line}"))
                    }
                    None => ("–".into(), "imported".into()),
                };
                println!("{name:<wide$} {files:<8} {count:>15}  {}", plain(&what));
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
            let counts = report.images.iter().flatten();
            let mut wrong = false;
            for (split, count) in ["train", "test"].iter().zip(counts) {
                if let (false, Some(expected)) = (count.is_right(), count.expected) {
                    wrong = true;
                    let (found, path) = (count.found, shown(path));
                    eprintln!(
                        "warning: {name} should have {expected} images to {split} on, and {found} \
                         were found in {path}"
                    );
                }
            }
            if wrong {
                let folder = shown(&report.folder);
                eprintln!("to import another copy of {name}, delete {folder} first");
            }
            println!("train on it with `selfsame pretrain byol --dataset {name}`");
        }
    }
    Ok(())
}
