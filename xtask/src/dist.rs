//! `cargo xtask dist`: makes the binary downloads.

use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use clap::Args;
use clap_complete::Shell;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The oldest C library that the program works with, from 2018.
const OLDEST: &str = "manylinux_2_28";

/// Make a wheel and an archive of the program `selfsame` for Linux.
///
/// Both hold the same file. It needs only glibc 2.28 (Debian 10, RHEL 8, Ubuntu 18.10). maturin
/// builds it with zig as the linker: `pip install maturin ziglang`. The archive also has shell
/// completions, a man page and the licences.
#[derive(Args)]
pub struct DistArgs {
    /// The folder to write to.
    #[arg(long, value_name = "DIR", default_value = "dist")]
    out: PathBuf,
    /// The target, if it is not this machine's, such as aarch64-unknown-linux-gnu.
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Link with the system's linker. The program then needs this system's glibc.
    #[arg(long)]
    native: bool,
}

/// Builds the wheel, makes the archive from it, and prints where they are.
pub fn run(args: &DistArgs) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = root.parent().context("xtask has no parent folder")?;
    let out = std::path::absolute(&args.out)?;
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let wheel = wheel(args, root, &out)?;
    let triple = args.target.clone().unwrap_or_else(this_triple);
    let archive = archive(&wheel, root, &out, &triple)?;
    for made in [&wheel, &archive] {
        let bytes = fs::metadata(made)?.len();
        println!("{} ({:.1} MB)", made.display(), bytes as f64 / 1e6);
    }
    Ok(())
}

fn this_triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// The newest wheel of maturin.
fn wheel(args: &DistArgs, root: &Path, out: &Path) -> anyhow::Result<PathBuf> {
    // A separate folder, so that older wheels are not mistaken for this one.
    let fresh = tempfile::tempdir_in(out)?;
    let mut maturin = Command::new("maturin");
    maturin.current_dir(root.join("crates/cli"));
    maturin.args(["build", "--release", "--locked", "--out"]).arg(fresh.path());
    if !args.native {
        maturin.args(["--zig", "--compatibility", OLDEST]);
    }
    if let Some(target) = &args.target {
        maturin.args(["--target", target]);
    }
    // Cargo sets variables for this program. They are wrong for the other build.
    maturin.env_remove("CARGO_MANIFEST_DIR");
    let status = maturin.status().context(
        "cannot run maturin; install it with `pip install \
         maturin ziglang`",
    )?;
    ensure!(status.success(), "maturin has not made a wheel");
    let made = fs::read_dir(fresh.path())?.collect::<std::io::Result<Vec<_>>>()?;
    let [made] = made.as_slice() else { bail!("maturin has made {} files", made.len()) };
    let place = out.join(made.file_name());
    fs::rename(made.path(), &place)?;
    Ok(place)
}

/// An archive of the program in `wheel`, with the files that a package manager installs beside it.
fn archive(wheel: &Path, root: &Path, out: &Path, triple: &str) -> anyhow::Result<PathBuf> {
    let name = format!("selfsame-{}-{triple}", env!("CARGO_PKG_VERSION"));
    let path = out.join(&name).with_added_extension("tar.gz");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::best()));
    let mut add = |place: &str, mode: u32, bytes: &[u8]| -> anyhow::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        // The same content gives the same archive.
        header.set_mtime(0);
        Ok(tar.append_data(&mut header, format!("{name}/{place}"), bytes)?)
    };
    add("selfsame", 0o755, &program_in(wheel)?)?;
    for file in ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"] {
        add(file, 0o644, &fs::read(root.join(file))?)?;
    }
    for (shell, file) in [
        (Shell::Bash, "completions/selfsame.bash"),
        (Shell::Zsh, "completions/_selfsame"),
        (Shell::Fish, "completions/selfsame.fish"),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut selfsame_cli::program(), "selfsame", &mut script);
        add(file, 0o644, &script)?;
    }
    for (file, page) in man_pages()? {
        add(&format!("man/{file}"), 0o644, &page)?;
    }
    tar.into_inner()?.finish()?.flush()?;
    Ok(path)
}

/// `selfsame.1`, and one page for each command.
fn man_pages() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut program = selfsame_cli::program();
    program.build();
    let commands = program.get_subcommands().filter(|command| command.get_name() != "help");
    let named = commands.map(|command| (format!("selfsame-{}", command.get_name()), command));
    let all = std::iter::once(("selfsame".to_owned(), &program)).chain(named);
    let render = |(name, command): (String, &clap::Command)| {
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone()).title(&name).render(&mut page)?;
        Ok((format!("{name}.1"), page))
    };
    all.map(render).collect()
}

fn program_in(wheel: &Path) -> anyhow::Result<Vec<u8>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(fs::read(wheel)?))?;
    for index in 0..zip.len() {
        let mut file = zip.by_index(index)?;
        if file.name()?.ends_with("/scripts/selfsame") {
            let mut program = Vec::new();
            file.read_to_end(&mut program)?;
            return Ok(program);
        }
    }
    bail!("{} has no program in it", wheel.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_man_page_for_every_command() {
        let pages = man_pages().unwrap();
        let pretrain = pages.iter().find(|(file, _)| file == "selfsame-pretrain.1").unwrap();
        let text = String::from_utf8(pretrain.1.clone()).unwrap();
        assert!(text.contains("\\-\\-images") && text.contains("Ctrl\\-C"), "{text}");
        assert!(pages.len() > 12);
    }
}
