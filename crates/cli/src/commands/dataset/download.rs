//! `selfsame dataset download`

use std::path::Path;

use clap::Args;
use selfsame::data::{DownloadEvent, DownloadOptions, Mirror, download};

use selfsame::Unit;

use crate::Terminal;

/// Download a data set of the catalogue.
///
/// Each file comes from the first address that has it. A stopped download continues where it
/// stopped. A file is unpacked only if its size and SHA-256 are right. The data set's folder
/// appears when all files are complete, not before. Proxies are taken from ALL_PROXY, HTTPS_PROXY
/// or HTTP_PROXY, and NO_PROXY.
///
/// `dataset info NAME` shows the licence and whom to cite.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame dataset download cifar10
  selfsame dataset download cifar10 --offline --mirror /media/usb/cifar10")]
pub struct DownloadArgs {
    /// A name that `dataset list` shows.
    name: String,
    /// Ask no server. Files are taken from .downloads/NAME in the data sets' folder or from a
    /// --mirror folder. Missing files are listed with their addresses.
    #[arg(long)]
    offline: bool,
    /// A URL or a folder with copies of the files under their own names. It is tried first.
    #[arg(long, value_name = "URL|PATH")]
    mirror: Option<String>,
}

pub fn run(args: &DownloadArgs, root: &Path) -> anyhow::Result<()> {
    let name = &args.name;
    let options = DownloadOptions {
        offline: args.offline,
        mirror: args.mirror.as_deref().map(Mirror::new),
        ..DownloadOptions::default()
    };
    let voice = Terminal::new().voice();
    let mut tally = voice.tally(Unit::Bytes);
    let result = download(name, root, &options, &mut |event| match event {
        DownloadEvent::Bytes { file, done, total } => tally.show(file, done, total),
        DownloadEvent::Failed(failure) => voice.note(failure),
        DownloadEvent::Unpacking { file } => voice.note(format_args!("{file}: unpacking")),
    });
    tally.finish();
    let report = result?;
    let folder = report.folder.display();
    if report.already_here {
        println!("{name} is here already; `selfsame dataset verify {name}` checks it");
        return Ok(());
    }
    println!("{} files ({:.1} MB) → {folder}", report.files, report.bytes as f64 / 1e6);
    if report.left_out > 0 {
        println!("{} links or special files were left out", report.left_out);
    }
    println!("train on it with `selfsame pretrain byol --dataset {name}`");
    Ok(())
}
