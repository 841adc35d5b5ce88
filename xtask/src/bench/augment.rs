//! `cargo xtask bench augment`: images per second, with two views each, compared to peers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use image::RgbImage;
use rayon::prelude::*;
use selfsame_augment::{RgbSource, ViewBuffer, ViewGenerator, ViewKey, ViewPair};
use selfsame_data::{Source, decode_file};
use serde::Serialize;

use super::photographs::photograph;
use super::step::median;
use selfsame::datasets;
use selfsame::workshop::usage;

/// Measure two BYOL views of an image, from pixels and from JPEG files, on one thread and on all.
#[derive(Args)]
pub struct AugmentArgs {
    /// A folder of JPEG photographs for the large views [default: drawn by the program].
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    seconds: f64,
    /// Number of rounds. The median counts. With --peer, each round runs all measurements, then the
    /// peers.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// A command to compare with. It must use one thread. DIR in it becomes a folder with the same
    /// images: small/*.png and photographs/*.jpg. The command prints lines of `LABEL: N images/s`,
    /// with the labels of the table. For all threads, one copy of it runs per thread, like the
    /// workers of a data loader. May be repeated.
    #[arg(long, value_name = "COMMAND")]
    peer: Vec<String>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Number of images in the small case, and of photographs in the others.
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
    /// The result of a peer, if it has this case.
    peers: Vec<Option<Peer>>,
}

#[derive(Serialize)]
struct Peer {
    rates: Rates,
    /// Our speed over the peer's.
    ratios: Rates,
}

/// The measurements of one case, round by round: on one thread and on all.
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
    photographs: Photographs,
    cases: Vec<Case>,
}

/// The photographs for the large views.
#[derive(Serialize)]
struct Photographs {
    count: usize,
    /// Mean bytes of a file.
    bytes: u64,
    /// Mean pixels of an image.
    pixels: u64,
}

/// The input of one image of a case.
enum Input {
    Pixels(RgbImage),
    File(PathBuf),
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
            Input::File(path) => {
                decoded = decode_file(path)?;
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
        return Err(usage("--rounds must be at least 1, and --seconds from 0.01 to 60"));
    }
    let folder = tempfile::tempdir()?;
    let (works, photographs) = works(args, folder.path())?;
    let threads = rayon::current_num_threads();
    let mut ours = vec![Rounds::default(); works.len()];
    let mut peers = vec![vec![Rounds::default(); args.peer.len()]; works.len()];
    for _ in 0..args.rounds {
        for (work, ours) in works.iter().zip(&mut ours) {
            ours.one.push(work.one_thread(args.seconds)?);
            ours.all.push(work.all_threads(args.seconds)?);
        }
        for (i, command) in args.peer.iter().enumerate() {
            let alone = outputs(command, 1, folder.path())?;
            let together = outputs(command, threads, folder.path())?;
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
    let results = Results { threads, photographs, cases };
    if args.json {
        println!("{}", serde_json::to_string(&results)?);
    } else {
        print(args, &results);
    }
    Ok(())
}

/// The three cases. Their images are written to `folder` for the peers.
fn works(args: &AugmentArgs, folder: &Path) -> anyhow::Result<(Vec<Work>, Photographs)> {
    let shapes = open(Source::Named("shapes".to_owned()))?;
    let small: Vec<RgbImage> = (0..SMALL.min(shapes.len()))
        .map(|index| Ok((*shapes.image(index)?).clone()))
        .collect::<anyhow::Result<_>>()?;
    let small_folder = folder.join("small");
    std::fs::create_dir(&small_folder)?;
    for (i, image) in small.iter().enumerate() {
        image.save(small_folder.join(format!("{i:03}.png")))?;
    }
    let files = photographs(args.images.as_deref(), &folder.join("photographs"))?;
    let large: Vec<RgbImage> =
        files.iter().map(|file| decode_file(file)).collect::<Result<_, _>>()?;
    let mut bytes = 0;
    for file in &files {
        bytes += std::fs::metadata(file)?.len();
    }
    let pixels: u64 = large.iter().map(|image| image.pixels().len() as u64).sum();
    let count = files.len();
    let described =
        Photographs { count, bytes: bytes / count as u64, pixels: pixels / count as u64 };
    let pixels = |images: Vec<RgbImage>| images.into_iter().map(Input::Pixels).collect();
    let byol = ViewPair::byol(224, MEAN, STD)?;
    let works = vec![
        Work {
            label: "32 px, two views",
            pair: ViewPair::cifar(32, MEAN, STD)?,
            inputs: pixels(small),
        },
        Work { label: "224 px from pixels, two views", pair: byol.clone(), inputs: pixels(large) },
        Work {
            label: "224 px from JPEG, two views",
            pair: byol,
            inputs: files.into_iter().map(Input::File).collect(),
        },
    ];
    Ok((works, described))
}

fn open(source: Source) -> anyhow::Result<std::sync::Arc<dyn selfsame_data::ImageDataset>> {
    Ok(selfsame_data::open(&source, &datasets(), selfsame_data::Links::Follow)?.train)
}

/// Photographs as files in `folder`: the first of the user's, or drawn ones.
fn photographs(own: Option<&Path>, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir(folder)?;
    let name = |i: usize| folder.join(format!("{i:03}.jpg"));
    let Some(own) = own else {
        return (0..LARGE)
            .into_par_iter()
            .map(|i| {
                std::fs::write(name(i), photograph(i as u64)?)?;
                Ok(name(i))
            })
            .collect();
    };
    let data = open(Source::Folder(own.to_owned()))?;
    let is_jpeg = |path: &PathBuf| {
        let extension = path.extension().unwrap_or_default();
        ["jpg", "jpeg"].iter().any(|jpeg| extension.eq_ignore_ascii_case(jpeg))
    };
    let found = (0..data.len()).filter_map(|i| data.path(i)).filter(is_jpeg).take(LARGE);
    let files = found
        .enumerate()
        .map(|(i, path)| {
            std::fs::copy(&path, name(i)).with_context(|| format!("cannot copy {path:?}"))?;
            Ok(name(i))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(!files.is_empty(), "there are no JPEG files in {}", own.display());
    Ok(files)
}

/// The outputs of `count` copies of a command that run at the same time.
fn outputs(command: &str, count: usize, folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or_else(|| usage("--peer is empty"))?;
    let folder = folder.to_str().context("the name of the temporary folder is not Unicode")?;
    let words: Vec<&str> = words.map(|word| if word == "DIR" { folder } else { word }).collect();
    let running = (0..count)
        .map(|_| {
            Command::new(program)
                .args(&words)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .with_context(|| format!("cannot run {program}"))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    // Each copy has its own waiting thread, so none stops because nobody reads its output.
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

/// The sum of the figures of several peers for a label, if all have it.
fn sum_of_rates(outputs: &[String], label: &str) -> Option<f64> {
    outputs.iter().map(|text| rate(text, label)).sum()
}

/// The figure in the line of the label.
fn rate(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().rev().find_map(|line| line.strip_prefix(label)?.strip_prefix(": "))?;
    line.split_whitespace().next()?.parse().ok()
}

fn print(args: &AugmentArgs, results: &Results) {
    let Photographs { count, bytes, pixels } = results.photographs;
    println!("images per second, each with two views, on one thread and on {}", results.threads);
    println!("large views of {count} photographs, on average {bytes} bytes and {pixels} pixels");
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
