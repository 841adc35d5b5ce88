//! `cargo xtask torture`: tests the promise that nothing is lost.

mod faults;
mod kills;
mod report;
mod soak;
mod victim;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use faults::{Fault, Needs};
use kills::{Kill, When};
use report::{Campaign, Outcome, Row};
use selfsame::workshop::usage;
use selfsame::workshop::words::reasons;
use selfsame::workshop::{CHECKPOINTS, newest_checkpoint};
use soak::Soak;
use victim::{End, Victim, victims};

/// Disturb runs, resume them, and compare their results.
///
/// The command kills small runs of BYOL and Barlow Twins on the CPU, damages their files, fails
/// their writes and limits their memory. A build with `--features ndarray` has two CPU backends.
/// Then it resumes them on one or two threads. Each run must end in the same bits as an undisturbed
/// run: encoder, all networks, optimiser, metrics. Prints the report as Markdown. The status is 1
/// if a run was lost or ended differently. Full disks and read-only folders need Linux and the
/// right to mount in a new namespace (`unshare -rm`).
#[derive(Args)]
pub struct TortureArgs {
    /// Number of kills.
    #[arg(long, value_name = "N", default_value_t = 200)]
    kills: usize,
    /// Number of faults: a damaged file, failed writes, or no memory.
    #[arg(long, value_name = "N", default_value_t = 50)]
    faults: usize,
    /// Then let a run train for this many minutes, and watch its memory and open files.
    #[arg(long, value_name = "MINUTES", default_value_t = 0.0)]
    soak: f64,
    /// Seed of the moments, files and bits.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The folder for the runs. Runs that end well are deleted.
    #[arg(long, value_name = "DIR", default_value = "runs/torture")]
    out: PathBuf,
    /// Also write the report to this file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub fn run(args: &TortureArgs) -> anyhow::Result<()> {
    if !cfg!(unix) {
        bail!("torture needs signals, and this system has none");
    }
    if args.kills + args.faults == 0 && args.soak <= 0.0 {
        return Err(usage("--kills, --faults, --soak: at least one must be above 0"));
    }
    if args.soak > 0.0 && args.soak < 1.0 {
        return Err(usage("--soak: at least a minute"));
    }
    let began = Instant::now();
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let out = fs::canonicalize(&args.out)?;
    let victims = victims();
    let mut torture = Torture {
        out,
        rng: ChaCha8Rng::seed_from_u64(args.seed),
        undisturbed: Vec::new(),
        rows: Vec::new(),
        bar: bar((victims.len() + args.kills + args.faults) as u64),
        count: 0,
        victims,
    };
    if args.kills + args.faults > 0 {
        torture.run_undisturbed()?;
    }
    torture.kill_all(args.kills)?;
    torture.break_all(args.faults)?;
    torture.bar.finish_and_clear();
    let rows = std::mem::take(&mut torture.rows);
    let campaign = Campaign { rows, seed: args.seed, took: began.elapsed() };
    let mut text = campaign.to_markdown();
    if args.soak > 0.0 {
        let folder = torture.fresh("soaked")?;
        text += "\n";
        text += &Soak::run(&folder, args.soak)?.to_markdown();
        remove(&folder)?;
    }
    print!("{text}");
    if let Some(path) = &args.report {
        fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let bad = campaign.bad();
    if bad > 0 {
        campaign.complaints().for_each(|complaint| eprintln!("{complaint}"));
        bail!("{bad} runs were lost or ended differently; they are in {}", torture.out.display());
    }
    Ok(())
}

/// The results of undisturbed runs.
struct Undisturbed {
    end: End,
    took: Duration,
    needs: Needs,
}

struct Torture {
    out: PathBuf,
    rng: ChaCha8Rng,
    victims: Vec<Victim>,
    /// In the order of the victims.
    undisturbed: Vec<Undisturbed>,
    rows: Vec<Row>,
    bar: ProgressBar,
    /// Number of runs, for their names and for taking turns.
    count: usize,
}

impl Torture {
    fn run_undisturbed(&mut self) -> anyhow::Result<()> {
        for victim in self.victims.clone() {
            let folder = self.fresh("undisturbed")?;
            let began = Instant::now();
            let status = victim.start(&folder, 2)?.wait()?;
            if !status.success() {
                bail!("an undisturbed run fails: {}", victim::last_words(&folder));
            }
            let took = began.elapsed();
            let newest = newest_checkpoint(&folder).context("it wrote no checkpoint")?;
            let checkpoint_bytes = fs::metadata(newest)?.len();
            let memory_bytes = victim::peak_bytes(&folder)?;
            let needs = Needs { checkpoint_bytes, memory_bytes };
            self.undisturbed.push(Undisturbed { end: End::read(&folder)?, took, needs });
            self.bar.inc(1);
            remove(&folder)?;
        }
        Ok(())
    }

    /// Kills runs again and again until each is done, `kills` times in all: half of them at random,
    /// half in the middle of a checkpoint.
    fn kill_all(&mut self, kills: usize) -> anyhow::Result<()> {
        self.kill(kills.div_ceil(2), When::AtRandom, "SIGKILL at a random moment")?;
        self.kill(kills / 2, When::InWrite, "SIGKILL while a checkpoint is written")
    }

    fn kill(&mut self, mut left: usize, when: When, name: &'static str) -> anyhow::Result<()> {
        while left > 0 {
            let which = self.count % self.victims.len();
            let folder = self.fresh("killed")?;
            let span = self.undisturbed[which].took;
            loop {
                let threads = self.rng.random_range(1..=2);
                let mut child = self.victims[which].start(&folder, threads)?;
                if left == 0 {
                    child.wait()?;
                    break;
                }
                if kills::kill(&mut child, &folder, when, span, &mut self.rng)? == Kill::TooLate {
                    break;
                }
                let row = self.row(name);
                row.times += 1;
                row.hits += usize::from(kills::writes(&folder.join(CHECKPOINTS)));
                left -= 1;
                self.bar.inc(1);
            }
            let outcome = self.judge(which, &folder)?;
            self.row(name).ended(outcome);
        }
        Ok(())
    }

    fn break_all(&mut self, faults: usize) -> anyhow::Result<()> {
        let can_mount = faults::can_mount();
        for n in 0..faults {
            let fault = match Fault::nth(n) {
                Fault::FullDisk | Fault::ReadOnly if !can_mount => Fault::Replaced,
                fault => fault,
            };
            let which = self.count % self.victims.len();
            let folder = self.fresh("broken")?;
            let hit = self.disturb(n, fault, which, &folder);
            let hit = hit.with_context(|| format!("{}: {}", folder.display(), fault.name()))?;
            let threads = self.rng.random_range(1..=2);
            self.victims[which].start(&folder, threads)?.wait()?;
            let outcome = self.judge(which, &folder)?;
            let row = self.row(fault.name());
            row.times += 1;
            row.hits += usize::from(hit);
            row.ended(outcome);
            self.bar.inc(1);
        }
        Ok(())
    }

    /// Begins a run and applies `fault`. Returns whether the fault had an effect.
    fn disturb(
        &mut self,
        n: usize,
        fault: Fault,
        which: usize,
        folder: &Path,
    ) -> anyhow::Result<bool> {
        let (victim, undisturbed) = (&self.victims[which], &self.undisturbed[which]);
        let mut child = victim.start(folder, 2)?;
        // Finished runs can be damaged, too.
        if fault.is_damage() && n.is_multiple_of(3) {
            child.wait()?;
        } else {
            faults::wait_for_checkpoint(&mut child, folder)?;
            std::thread::sleep(undisturbed.took.mul_f64(self.rng.random_range(0.0..0.3)));
            child.kill()?;
            child.wait()?;
        }
        if fault.is_damage() {
            let files = faults::files(folder)?;
            let file = &files[n % files.len()];
            faults::damage(file, fault, &mut self.rng)?;
            return Ok(true);
        }
        let status = faults::denied(fault, victim, folder, undisturbed.needs, &mut self.rng)?;
        Ok(!status.success())
    }

    fn fresh(&mut self, kind: &str) -> anyhow::Result<PathBuf> {
        self.count += 1;
        let folder = self.out.join(format!("{kind}-{}", self.count));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Compares the result of a run with that of the undisturbed one.
    fn judge(&self, which: usize, folder: &Path) -> anyhow::Result<Outcome> {
        let words = victim::last_words(folder);
        Ok(match End::read(folder) {
            Err(error) => Outcome::Lost(format!(
                "{}: {}; it said: {words}",
                folder.display(),
                reasons(&error)
            )),
            Ok(end) => match end.difference(&self.undisturbed[which].end) {
                Some(what) => Outcome::Different(format!("{}: {what} differ", folder.display())),
                None => {
                    remove(folder)?;
                    Outcome::Same
                }
            },
        })
    }

    fn row(&mut self, name: &'static str) -> &mut Row {
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row::new(name));
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(folder)?;
    Ok(fs::remove_file(folder.with_extension("log"))?)
}

fn bar(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30.cyan/blue} {pos}/{len} · {elapsed} · {eta} left")
    {
        bar.set_style(style);
    }
    bar
}
