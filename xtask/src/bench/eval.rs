//! `cargo xtask bench eval`: the time of k-NN and the linear probe, compared to peers.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use npyz::WriterBuilder;
use selfsame_eval::{Features, Knn, Labelled, LinearProbe, Probe};
use serde::Serialize;

use super::step::median;
use selfsame::workshop::usage;

/// Measure weighted k-NN (k = 200, T = 0.1) and a linear probe with one C, on features drawn around
/// one centre per class.
#[derive(Args)]
pub struct EvalArgs {
    /// Number of training features.
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    train: usize,
    /// Number of test features.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    test: usize,
    /// Dimension of a feature.
    #[arg(long, default_value_t = 512, value_name = "N")]
    dim: usize,
    /// Number of classes.
    #[arg(long, default_value_t = 10, value_name = "N")]
    classes: usize,
    /// Distance between the centres. A larger one is easier.
    #[arg(long, default_value_t = 4.0, value_name = "D")]
    distance: f32,
    /// C of the linear probe.
    #[arg(long, default_value_t = 0.01, value_name = "C")]
    c: f64,
    /// Number of rounds. The median counts. Each round runs both measurements, then the peers.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// A command to compare with. DIR in it becomes a folder with train.npy, train_labels.npy,
    /// test.npy and test_labels.npy. The command prints lines of `LABEL: N s`, with the labels of
    /// the table. May be repeated.
    #[arg(long, value_name = "COMMAND")]
    peer: Vec<String>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

const LABELS: [&str; 2] = ["k-NN", "linear probe"];

#[derive(Serialize)]
struct Case {
    label: &'static str,
    /// The median of the rounds.
    seconds: f64,
    rounds: Vec<f64>,
    accuracy: f64,
    /// The minimum that the linear probe found.
    objective: Option<f64>,
    iterations: Option<usize>,
    /// The result of a peer, if it has this case.
    peers: Vec<Option<Peer>>,
}

#[derive(Serialize)]
struct Peer {
    /// The median of the rounds.
    seconds: f64,
    rounds: Vec<f64>,
    /// Its last line of output, with its accuracy.
    said: String,
    /// The peer's seconds over ours.
    ratio: f64,
}

#[derive(Serialize)]
struct Results {
    train: usize,
    test: usize,
    dim: usize,
    classes: usize,
    threads: usize,
    /// Of k-NN's product.
    gflop: f64,
    cases: Vec<Case>,
}

pub fn run(args: &EvalArgs) -> anyhow::Result<()> {
    let counts = [args.train, args.test, args.dim, args.classes, args.rounds];
    if counts.contains(&0) || !(args.c > 0.0 && args.c.is_finite()) {
        return Err(usage(
            "--train, --test, --dim, --classes and --rounds must be at least 1, and --c above 0",
        ));
    }
    let mut mixture = Mixture::new(args);
    let (train, test) = (mixture.draw(args.train)?, mixture.draw(args.test)?);
    let folder = tempfile::tempdir()?;
    if !args.peer.is_empty() {
        save(folder.path(), "train", &train)?;
        save(folder.path(), "test", &test)?;
    }
    let mut ours = [Vec::new(), Vec::new()];
    let mut peers = vec![[const { Vec::new() }; LABELS.len()]; args.peer.len()];
    let mut said = vec![[const { String::new() }; LABELS.len()]; args.peer.len()];
    let (mut knn, mut linear) = (None, None);
    for _ in 0..args.rounds {
        let start = Instant::now();
        knn = Some(Knn::default().predict(&train, &test.features)?);
        ours[0].push(start.elapsed().as_secs_f64());
        let probe = LinearProbe { c: vec![args.c], max_iterations: 1000 };
        let start = Instant::now();
        linear = Some(probe.fit(&train)?);
        ours[1].push(start.elapsed().as_secs_f64());
        for (i, command) in args.peer.iter().enumerate() {
            let text = output(command, folder.path())?;
            for (j, label) in LABELS.iter().enumerate() {
                // The fastest, if it printed several.
                let lines = text.lines().filter_map(|line| Some((seconds(line, label)?, line)));
                if let Some((seconds, line)) = lines.min_by(|a, b| a.0.total_cmp(&b.0)) {
                    peers[i][j].push(seconds);
                    line.clone_into(&mut said[i][j]);
                }
            }
        }
    }
    let (knn, linear) = knn.zip(linear).context("there is a round")?;
    let right = knn.iter().zip(&test.labels).filter(|(p, l)| p == l).count();
    let accuracies = [right as f64 / args.test as f64, linear.score(&test)?.top1];
    let case = |j: usize| {
        let seconds = median(ours[j].clone());
        let peers = peers.iter().zip(&said).map(|(rounds, said)| {
            let rounds = rounds[j].clone();
            let theirs = (!rounds.is_empty()).then(|| median(rounds.clone()))?;
            let ratio = theirs / seconds;
            Some(Peer { seconds: theirs, rounds, said: said[j].clone(), ratio })
        });
        Case {
            label: LABELS[j],
            seconds,
            rounds: ours[j].clone(),
            accuracy: accuracies[j],
            objective: (j == 1).then_some(linear.objective),
            iterations: (j == 1).then_some(linear.iterations),
            peers: peers.collect(),
        }
    };
    let results = Results {
        train: args.train,
        test: args.test,
        dim: args.dim,
        classes: args.classes,
        threads: rayon::current_num_threads(),
        gflop: 2.0 * (args.train * args.test * args.dim) as f64 / 1e9,
        cases: (0..LABELS.len()).map(case).collect(),
    };
    if args.json {
        println!("{}", serde_json::to_string(&results)?);
    } else {
        print(args, &results);
    }
    Ok(())
}

/// Normal features around one centre per class. They share a few strong directions, like features
/// of networks.
struct Mixture {
    state: u64,
    dim: usize,
    classes: usize,
    centres: Vec<f32>,
}

impl Mixture {
    fn new(args: &EvalArgs) -> Self {
        let mut mixture =
            Self { state: 1, dim: args.dim, classes: args.classes, centres: Vec::new() };
        let scale = args.distance / (2.0 * args.dim as f32).sqrt();
        mixture.centres = (0..args.classes * args.dim).map(|_| scale * mixture.normal()).collect();
        mixture
    }

    fn uniform(&mut self) -> f32 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 40) as f32 / (1 << 24) as f32
    }

    /// The sum of twelve uniform numbers, minus 6, is close enough to normal here.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    fn draw(&mut self, rows: usize) -> anyhow::Result<Labelled> {
        let mut values = Vec::with_capacity(rows * self.dim);
        let labels: Vec<u32> = (0..rows).map(|i| (i % self.classes) as u32).collect();
        for label in &labels {
            let shared = [self.normal(), self.normal()];
            for d in 0..self.dim {
                let common = shared[d % 2] * (1.0 - d as f32 / self.dim as f32);
                let centre = self.centres[*label as usize * self.dim + d];
                let value = centre + self.normal() + common;
                // Dimensions of other scales.
                values.push(value * (0.5 + (d % 7) as f32 / 6.0));
            }
        }
        Ok(Labelled { features: Features::new(values, rows, self.dim)?, labels })
    }
}

fn save(folder: &Path, name: &str, data: &Labelled) -> anyhow::Result<()> {
    let (rows, dim) = (data.features.rows() as u64, data.features.dim() as u64);
    let values = data.features.values().iter().copied();
    array(&folder.join(format!("{name}.npy")), &[rows, dim], values)?;
    let labels = data.labels.iter().copied();
    array(&folder.join(format!("{name}_labels.npy")), &[rows], labels)
}

fn array<T: npyz::Serialize + npyz::AutoSerialize>(
    path: &Path,
    shape: &[u64],
    values: impl Iterator<Item = T>,
) -> anyhow::Result<()> {
    let file = BufWriter::new(File::create(path)?);
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(file).begin_nd()?;
    writer.extend(values)?;
    Ok(writer.finish()?)
}

fn output(command: &str, folder: &Path) -> anyhow::Result<String> {
    let folder = folder.to_str().context("the name of the temporary folder is not Unicode")?;
    let mut words = command.split_whitespace();
    let program = words.next().context("--peer is empty")?;
    let output = Command::new(program)
        .args(words.map(|word| if word == "DIR" { folder } else { word }))
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command} failed:\n{error}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The figure in the line of the label.
fn seconds(line: &str, label: &str) -> Option<f64> {
    line.strip_prefix(label)?.strip_prefix(": ")?.split_whitespace().next()?.parse().ok()
}

fn print(args: &EvalArgs, results: &Results) {
    let Results { train, test, dim, classes, threads, gflop, cases } = results;
    println!(
        "{test} queries, {train} to learn from, {dim} dimensions, {classes} classes, {threads} threads"
    );
    for case in cases {
        let figures = match (case.objective, case.iterations) {
            (Some(objective), Some(n)) => format!("objective {objective:.6}, {n} iterations"),
            _ => format!("{:.0} GFLOP/s", gflop / case.seconds),
        };
        let Case { label, seconds, accuracy, .. } = case;
        println!("{label:<14}{seconds:>9.3} s, accuracy {accuracy:.4}, {figures}");
        for (i, peer) in case.peers.iter().enumerate() {
            if let Some(Peer { seconds, said, ratio, .. }) = peer {
                println!(
                    "  {:<12}{seconds:>9.3} s, ratio {ratio:.2}  ({said})",
                    format!("peer {}", i + 1)
                );
            }
        }
    }
    for (i, command) in args.peer.iter().enumerate() {
        println!("peer {}: {command}", i + 1);
    }
}
