//! A long run, watched for leaks of memory and open files.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::ProgressBar;

use super::victim::{last_words, spawn, victims};
use selfsame_cli::INTERRUPTED;

const EVERY: Duration = Duration::from_secs(5);
const MIB: f64 = (1 << 20) as f64;

/// The memory and open files of a process at one time.
struct Sample {
    hours: f64,
    resident_bytes: f64,
    open_files: usize,
}

/// A watched run.
pub struct Soak {
    samples: Vec<Sample>,
    steps: u64,
}

impl Soak {
    /// Lets a run train for `minutes`, then asks it to end.
    pub fn run(folder: &Path, minutes: f64) -> anyhow::Result<Self> {
        let victim = victims().first().copied().context("no device to train on")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(victim.arguments(folder, 2));
        command.args(["--set", "train.epochs=1000000", "--set", "train.checkpoint_minutes=0.05"]);
        command.args(["--set", "train.checkpoint_every=1000000"]);
        let mut child = spawn(&mut command, folder)?;
        let samples = watch(&mut child, minutes).with_context(|| last_words(folder))?;
        let killed = Command::new("kill").arg(child.id().to_string()).status();
        killed.context("cannot ask the run to end")?;
        let status = child.wait()?;
        if status.code() != Some(i32::from(INTERRUPTED)) {
            bail!("asked to end, the run said: {}", last_words(folder));
        }
        let metrics = fs::read_to_string(folder.join(selfsame::workshop::METRICS))?;
        let steps = metrics.lines().filter(|line| line.contains("learning_rate")).count() as u64;
        Ok(Self { samples, steps })
    }

    pub fn to_markdown(&self) -> String {
        // The first tenth fills caches.
        let settled = &self.samples[self.samples.len() / 10..];
        // The mean of a quarter: resident memory changes by megabytes with every checkpoint.
        let quarters = settled.chunks(settled.len().div_ceil(4).max(1)).map(|quarter| {
            let bytes: f64 = quarter.iter().map(|sample| sample.resident_bytes).sum();
            format!("{:.1}", bytes / quarter.len() as f64 / MIB)
        });
        let files = settled.iter().map(|sample| sample.open_files);
        let (fewest, most) = (files.clone().min().unwrap_or(0), files.max().unwrap_or(0));
        format!(
            "A run of {:.0} minutes and {} steps. After a tenth of it, its quarters had {} MiB resident ({:+.2} MiB an \
             hour by least squares); {fewest} to {most} open files.\n",
            60.0 * self.samples.last().map_or(0.0, |sample| sample.hours),
            self.steps,
            quarters.collect::<Vec<_>>().join(", "),
            slope(settled) / MIB,
        )
    }
}

fn watch(child: &mut Child, minutes: f64) -> anyhow::Result<Vec<Sample>> {
    let seconds = 60.0 * minutes;
    let bar = ProgressBar::new(seconds as u64);
    let began = Instant::now();
    let mut samples = Vec::new();
    while began.elapsed().as_secs_f64() < seconds {
        std::thread::sleep(EVERY);
        if child.try_wait()?.is_some() {
            bail!("the run ended by itself");
        }
        samples.push(sample(child.id(), began.elapsed())?);
        bar.set_position(began.elapsed().as_secs());
    }
    bar.finish_and_clear();
    Ok(samples)
}

fn sample(process: u32, after: Duration) -> anyhow::Result<Sample> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    let open_files = fs::read_dir(format!("/proc/{process}/fd"))?.count();
    Ok(Sample {
        hours: after.as_secs_f64() / 3600.0,
        resident_bytes: 1024.0 * kibibytes.context("the system does not tell its memory")?,
        open_files,
    })
}

/// The slope in bytes per hour.
fn slope(samples: &[Sample]) -> f64 {
    let n = samples.len() as f64;
    let mean = |f: fn(&Sample) -> f64| samples.iter().map(f).sum::<f64>() / n;
    let (x, y) = (mean(|s| s.hours), mean(|s| s.resident_bytes));
    let covariance: f64 = samples.iter().map(|s| (s.hours - x) * (s.resident_bytes - y)).sum();
    let variance: f64 = samples.iter().map(|s| (s.hours - x).powi(2)).sum();
    if variance > 0.0 { covariance / variance } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_told_from_a_flat_line() {
        let run = |leak: f64| {
            let sample = |i: u32| Sample {
                hours: f64::from(i) / 720.0,
                resident_bytes: 1e8 + leak * f64::from(i) / 720.0,
                open_files: 9,
            };
            slope(&(0..700).map(sample).collect::<Vec<_>>())
        };
        assert_eq!(run(0.0), 0.0);
        assert!((run(5e6) - 5e6).abs() < 1.0);
    }
}
