//! `cargo xtask bench augment`: how many images a second get their two views, beside peers.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ImageFormat, RgbImage};
use rayon::prelude::*;
use selfsame_augment::{RgbSource, ViewBuffer, ViewGenerator, ViewKey, ViewPair};
use serde::Serialize;

use super::step::median;
use crate::data::datasets_root;
use crate::usage::usage;

/// Two BYOL views of an image, from pixels and from JPEG bytes, on one thread and on all.
#[derive(Args)]
pub struct AugmentArgs {
    /// A folder of images to take views of [default: the shapes that are drawn by the program].
    #[arg(long, value_name = "DIR")]
    images: Option<std::path::PathBuf>,
    /// Seconds that each measurement takes.
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    seconds: f64,
    /// Rounds, whose median counts; with --peer each one runs all measurements and then the peers.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// A command to compare with, that keeps to one thread; it is called with DIR and prints lines of
    /// `LABEL: N images/s` with the labels of the table. On all threads, as many of it run at once, as
    /// the workers of a data loader do. May be given several times.
    #[arg(long, value_name = "COMMAND", requires = "images")]
    peer: Vec<String>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Images of the small case, and photographs of the others.
const SMALL: usize = 500;
const LARGE: usize = 60;
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Images per second, each with two views: medians over the rounds.
#[derive(Serialize)]
struct Rates {
    one_thread: f64,
    all_threads: f64,
}

#[derive(Serialize)]
struct Case {
    label: &'static str,
    ours: Rates,
    /// Where a peer has this case.
    peers: Vec<Option<Peer>>,
}

#[derive(Serialize)]
struct Peer {
    rates: Rates,
    /// Ours over the peer's.
    ratios: Rates,
}

/// What was measured of one case, round by round: on one thread and on all.
#[derive(Clone, Default)]
struct Rounds {
    one: Vec<f64>,
    all: Vec<f64>,
}

impl Rounds {
    fn rates(self) -> Option<Rates> {
        (!self.one.is_empty())
            .then(|| Rates { one_thread: median(self.one), all_threads: median(self.all) })
    }
}

#[derive(Serialize)]
struct Results {
    threads: usize,
    cases: Vec<Case>,
}

/// What one image of a case is made from.
enum Input {
    Pixels(RgbImage),
    Jpeg(Vec<u8>),
}

struct Work {
    label: &'static str,
    pair: ViewPair,
    inputs: Vec<Input>,
}

impl Work {
    /// Both views of an image into `out`.
    fn one(&self, index: usize, out: &mut Vec<f32>) -> anyhow::Result<()> {
        out.resize(3 * self.pair.view_size(0).pow(2), 0.0);
        let decoded;
        let image = match &self.inputs[index % self.inputs.len()] {
            Input::Pixels(image) => image,
            Input::Jpeg(bytes) => {
                decoded =
                    image::load_from_memory_with_format(bytes, ImageFormat::Jpeg)?.into_rgb8();
                &decoded
            }
        };
        let source = RgbSource::try_from(image)?;
        for view in 0..2 {
            let key = ViewKey { seed: 0, epoch: 0, image: index as u64, view };
            let buffer = ViewBuffer::Planar(out);
            self.pair.render(source, view as usize, &mut key.rng(), buffer)?;
        }
        Ok(())
    }

    /// Images per second on one thread.
    fn one_thread(&self, seconds: f64) -> anyhow::Result<f64> {
        let (mut out, mut done) = (Vec::new(), 0);
        self.one(0, &mut out)?;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs_f64(seconds) {
            for _ in 0..10 {
                self.one(done, &mut out)?;
                done += 1;
            }
        }
        Ok(done as f64 / start.elapsed().as_secs_f64())
    }

    /// Images per second on all threads of the current pool.
    fn all_threads(&self, seconds: f64) -> anyhow::Result<f64> {
        let (mut done, start) = (0, Instant::now());
        while start.elapsed() < Duration::from_secs_f64(seconds) {
            let batch = 4 * self.inputs.len();
            (done..done + batch)
                .into_par_iter()
                .try_for_each_init(Vec::new, |out, index| self.one(index, out))?;
            done += batch;
        }
        Ok(done as f64 / start.elapsed().as_secs_f64())
    }
}

pub fn run(args: &AugmentArgs) -> anyhow::Result<()> {
    if args.rounds == 0 || !(0.01..=60.0).contains(&args.seconds) {
        return Err(usage("--rounds starts at 1, and --seconds is from 0.01 to 60"));
    }
    let works = works(args)?;
    let threads = rayon::current_num_threads();
    let mut ours = vec![Rounds::default(); works.len()];
    let mut peers = vec![vec![Rounds::default(); args.peer.len()]; works.len()];
    for _ in 0..args.rounds {
        for (work, ours) in works.iter().zip(&mut ours) {
            ours.one.push(work.one_thread(args.seconds)?);
            ours.all.push(work.all_threads(args.seconds)?);
        }
        for (i, command) in args.peer.iter().enumerate() {
            let alone = outputs(command, 1, args)?;
            let together = outputs(command, threads, args)?;
            for (work, peers) in works.iter().zip(&mut peers) {
                peers[i].one.extend(sum_of_rates(&alone, work.label));
                peers[i].all.extend(sum_of_rates(&together, work.label));
            }
        }
    }
    let cases = works
        .iter()
        .zip(ours)
        .zip(peers)
        .map(|((work, ours), peers)| {
            let ours = ours.rates().expect("there is a round");
            let peers = peers
                .into_iter()
                .map(|rounds| {
                    let rates = rounds.rates()?;
                    let ratios = Rates {
                        one_thread: ours.one_thread / rates.one_thread,
                        all_threads: ours.all_threads / rates.all_threads,
                    };
                    Some(Peer { rates, ratios })
                })
                .collect();
            Case { label: work.label, ours, peers }
        })
        .collect();
    let results = Results { threads, cases };
    if args.json {
        println!("{}", serde_json::to_string(&results)?);
    } else {
        print(args, &results);
    }
    Ok(())
}

/// The three cases, of the same images as a peer's: some as they are, some enlarged to the size of a photograph.
fn works(args: &AugmentArgs) -> anyhow::Result<Vec<Work>> {
    let source = match &args.images {
        Some(folder) => selfsame_data::Source::Folder(folder.clone()),
        None => selfsame_data::Source::Named("shapes".to_owned()),
    };
    let data = selfsame_data::open(&source, &datasets_root(), selfsame_data::Links::Follow)?.train;
    let small: Vec<RgbImage> = (0..SMALL.min(data.len()))
        .map(|index| Ok((*data.image(index)?).clone()))
        .collect::<anyhow::Result<_>>()?;
    anyhow::ensure!(!small.is_empty(), "there are no images");
    let large: Vec<RgbImage> = small
        .iter()
        .take(LARGE)
        .map(|image| resize(image, 500, 375, FilterType::CatmullRom))
        .collect();
    let jpegs = large
        .iter()
        .map(|image| {
            let mut bytes = Vec::new();
            image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 90))?;
            Ok(Input::Jpeg(bytes))
        })
        .collect::<anyhow::Result<Vec<Input>>>()?;
    let pixels = |images: Vec<RgbImage>| images.into_iter().map(Input::Pixels).collect();
    let byol = ViewPair::byol(224, MEAN, STD)?;
    Ok(vec![
        Work {
            label: "32 px, two views",
            pair: ViewPair::cifar(32, MEAN, STD)?,
            inputs: pixels(small),
        },
        Work { label: "224 px from 500x375, two views", pair: byol.clone(), inputs: pixels(large) },
        Work { label: "224 px from JPEG, two views", pair: byol, inputs: jpegs },
    ])
}

/// What a command prints when `count` of it run at the same time.
fn outputs(command: &str, count: usize, args: &AugmentArgs) -> anyhow::Result<Vec<String>> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or_else(|| usage("--peer is empty"))?;
    let words: Vec<&str> = words.collect();
    let running = (0..count)
        .map(|_| {
            Command::new(program)
                .args(&words)
                .args(&args.images)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .with_context(|| format!("cannot run {program}"))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    // Each is waited for by itself, so that none stands still because nobody reads what it prints.
    let finished: Vec<_> =
        running.into_iter().map(|child| std::thread::spawn(|| child.wait_with_output())).collect();
    finished
        .into_iter()
        .map(|child| {
            let output = child.join().expect("waiting does not panic")?;
            let error = String::from_utf8_lossy(&output.stderr);
            anyhow::ensure!(output.status.success(), "{command} failed:\n{error}");
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        })
        .collect()
}

/// The sum of what several peers print for a label, if all have it.
fn sum_of_rates(outputs: &[String], label: &str) -> Option<f64> {
    outputs.iter().map(|text| rate(text, label)).sum()
}

/// The figure of the line that starts with the label.
fn rate(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().rev().find_map(|line| line.strip_prefix(label)?.strip_prefix(": "))?;
    line.split_whitespace().next()?.parse().ok()
}

fn print(args: &AugmentArgs, results: &Results) {
    println!("images per second, each with two views, on one thread and on {}", results.threads);
    print!("{:<32}{:>12}{:>12}{:>9}", "", "one thread", "all", "scaling");
    for i in 0..args.peer.len() {
        print!("{:>10}{:>8}{:>8}{:>8}", format!("peer {}", i + 1), "ratio", "all", "ratio");
    }
    println!();
    for Case { label, ours, peers } in &results.cases {
        let scaling = ours.all_threads / ours.one_thread;
        print!("{label:<32}{:>12.0}{:>12.0}{scaling:>9.2}", ours.one_thread, ours.all_threads);
        for peer in peers {
            match peer {
                Some(Peer { rates, ratios }) => print!(
                    "{:>10.0}{:>8.1}{:>8.0}{:>8.1}",
                    rates.one_thread, ratios.one_thread, rates.all_threads, ratios.all_threads
                ),
                None => print!("{:>10}{:>8}{:>8}{:>8}", "-", "-", "-", "-"),
            }
        }
        println!();
    }
    for (i, command) in args.peer.iter().enumerate() {
        println!("peer {}: {command}", i + 1);
    }
}
