//! Faults: damaged files, failed writes, and missing memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rand::{Rng, RngExt};

use super::kills::writes;
use super::victim::{Victim, spawn};
use selfsame::workshop::{CHECKPOINTS, newest_checkpoint};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// One bit of one file is flipped.
    FlippedBit,
    /// The end of a file is missing, or all of it.
    Truncated,
    /// A file is gone.
    Deleted,
    /// The run lies on a file system that becomes full.
    FullDisk,
    /// No file may become larger than half a checkpoint.
    FileLimit,
    /// The folder of the checkpoints becomes read-only.
    ReadOnly,
    /// A file replaces the folder of the checkpoints.
    Replaced,
    /// The system limits the memory of the run to a part of its need.
    OutOfMemory,
}

/// All faults, in turn. Damage is most frequent, because there are many files.
const TURNS: [Fault; 11] = [
    Fault::FlippedBit,
    Fault::Truncated,
    Fault::FullDisk,
    Fault::FlippedBit,
    Fault::Deleted,
    Fault::ReadOnly,
    Fault::Truncated,
    Fault::FileLimit,
    Fault::FlippedBit,
    Fault::Replaced,
    Fault::OutOfMemory,
];

impl Fault {
    /// The `n`th fault of a campaign.
    pub fn nth(n: usize) -> Self {
        TURNS[n % TURNS.len()]
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::FlippedBit => "a bit flipped in a file",
            Self::Truncated => "a file cut short",
            Self::Deleted => "a file deleted",
            Self::FullDisk => "the disk full (a small tmpfs)",
            Self::FileLimit => "no file may grow beyond half a checkpoint (ulimit)",
            Self::ReadOnly => "the folder of the checkpoints read-only",
            Self::Replaced => "the folder of the checkpoints replaced by a file",
            Self::OutOfMemory => "out of memory (ulimit)",
        }
    }

    /// Whether the fault damages files of a stopped run.
    pub fn is_damage(self) -> bool {
        matches!(self, Self::FlippedBit | Self::Truncated | Self::Deleted)
    }
}

/// All files of a run, by their names.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else if entry.metadata()?.len() > 0 {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Damages `file` as `fault` says.
pub fn damage(file: &Path, fault: Fault, rng: &mut impl Rng) -> anyhow::Result<()> {
    if fault == Fault::Deleted {
        return Ok(fs::remove_file(file)?);
    }
    let mut bytes = fs::read(file)?;
    if fault == Fault::Truncated {
        bytes.truncate(rng.random_range(0..bytes.len()));
    } else {
        let bit = rng.random_range(0..8 * bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    // Not a replacement: the file itself is damaged.
    Ok(fs::write(file, bytes)?)
}

/// Waits until the run in `folder` has a checkpoint, or has ended.
pub fn wait_for_checkpoint(child: &mut Child, folder: &Path) -> anyhow::Result<()> {
    let limit = Instant::now() + Duration::from_secs(60);
    while newest_checkpoint(folder).is_none() && child.try_wait()?.is_none() {
        if Instant::now() > limit {
            bail!("there is no checkpoint after a minute");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Whether this process may mount file systems for itself alone.
pub fn can_mount() -> bool {
    let made =
        Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    made.is_ok_and(|output| output.status.success())
}

/// The memory of a run without a limit.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    pub checkpoint_bytes: u64,
    pub memory_bytes: u64,
}

/// Resumes the run in `folder` under `fault`, to the end of the process.
pub fn denied(
    fault: Fault,
    victim: &Victim,
    folder: &Path,
    needs: Needs,
    rng: &mut impl Rng,
) -> anyhow::Result<std::process::ExitStatus> {
    let program = std::env::current_exe()?;
    let arguments = victim.arguments(folder, 2);
    let shell = |script: &str, unshare: bool, value: String| {
        let mut command = Command::new(if unshare { "unshare" } else { "sh" });
        if unshare {
            command.args(["-rm", "sh"]);
        }
        command
            .args(["-c", script, "torture"])
            .arg(value)
            .arg(folder)
            .arg(&program)
            .args(&arguments);
        command
    };
    let mut command = match fault {
        // The tmpfs replaces the run's folder for the process. At the end, its content is copied
        // back.
        Fault::FullDisk => {
            let bytes = (needs.checkpoint_bytes as f64 * rng.random_range(2.0..4.0)) as u64;
            shell(
                "size=$1; run=$2; shift 2; keep=$(mktemp -d) && mount --bind \"$run\" \"$keep\" && \
                 mount -t tmpfs -o size=$size none \"$run\" && cp -a \"$keep/.\" \"$run\"; \
                 \"$@\"; status=$?; cp -a \"$run/.\" \"$keep\"; umount \"$run\" \"$keep\"; rmdir \"$keep\"; exit $status",
                true,
                bytes.to_string(),
            )
        }
        Fault::FileLimit => shell(
            "trap '' XFSZ; ulimit -f $1; shift 2; exec \"$@\"",
            false,
            (needs.checkpoint_bytes / 512 / 2).to_string(),
        ),
        // The mount becomes read-only between two checkpoints, when no file in it is open.
        Fault::ReadOnly => shell(
            "wait=$1; run=$2; shift 2; mount --bind \"$run/checkpoints\" \"$run/checkpoints\"; \"$@\" & child=$!; \
             sleep $wait; until mount -o remount,ro,bind \"$run/checkpoints\" 2>/dev/null; do kill -0 $child || break; done; \
             wait $child",
            true,
            format!("{:.3}", rng.random_range(0.3..1.0)),
        ),
        Fault::Replaced => return replaced(victim, folder, rng),
        Fault::OutOfMemory => shell(
            "ulimit -d $1; shift 2; exec \"$@\"",
            false,
            ((needs.memory_bytes as f64 * rng.random_range(0.3..1.0)) as u64 / 1024).to_string(),
        ),
        Fault::FlippedBit | Fault::Truncated | Fault::Deleted => {
            bail!("nothing that a run is denied")
        }
    };
    Ok(spawn(&mut command, folder)?.wait()?)
}

fn replaced(
    victim: &Victim,
    folder: &Path,
    rng: &mut impl Rng,
) -> anyhow::Result<std::process::ExitStatus> {
    let (checkpoints, away) = (folder.join(CHECKPOINTS), folder.join("away"));
    let mut child = victim.start(folder, 2)?;
    std::thread::sleep(Duration::from_millis(rng.random_range(100..800)));
    while writes(&checkpoints) {
        std::thread::yield_now();
    }
    fs::rename(&checkpoints, &away).context("the folder of the checkpoints")?;
    fs::write(&checkpoints, "not a folder")?;
    let status = child.wait()?;
    fs::remove_file(&checkpoints)?;
    fs::rename(&away, &checkpoints)?;
    Ok(status)
}
