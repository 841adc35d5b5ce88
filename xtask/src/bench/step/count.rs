//! The work of a GPU in one step.

use burn::tensor::Device;
use serde::Serialize;

use super::launches::Watch;
use super::traffic::{Traffic, traffic};
use selfsame::workshop::gpu::operations;

/// Kernels of one name.
#[derive(Debug, Clone, Serialize)]
pub struct Kernel {
    pub kernel: String,
    /// In one step.
    pub launches: f64,
    /// Of a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
    /// Of the time of all kernels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

/// The work of one step.
#[derive(Debug, Clone, Serialize)]
pub struct Count {
    pub launches: u64,
    /// `None` if Burn's log could not be read.
    pub bytes: Option<Traffic>,
    /// The fewest bytes, see [`least_bytes`](super::least::least_bytes); of a ResNet on its own.
    pub least_bytes: Option<u64>,
    /// Of all kernels together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
    pub kernels: Vec<Kernel>,
}

/// Warm-up steps: they compile, choose between kernels, and allocate lasting memory.
const WARM: u64 = 4;
/// Then one step is counted. One more step shows which of its results were kept.
const COUNTED: u64 = WARM + 1;
const KNOWN: u64 = WARM + 2;
/// Number of timed steps.
const TIMED: u64 = 3;

/// Number of steps under a [`Counter`]. Call its `before_step` before each step and once after the
/// last.
pub const STEPS: u64 = KNOWN + TIMED;

/// Counts one step of many: the first after the warm-up.
pub struct Counter {
    device: Device,
    timed: bool,
    at: u64,
    watch: Option<Watch>,
    step: Vec<String>,
    kernels: Vec<Kernel>,
    times: Vec<Kernel>,
    bytes: Option<Traffic>,
}

impl Counter {
    pub fn new(device: &Device, timed: bool) -> Self {
        Self {
            device: device.clone().inner(),
            timed,
            at: 0,
            watch: None,
            step: Vec::new(),
            kernels: Vec::new(),
            times: Vec::new(),
            bytes: None,
        }
    }

    /// The result, after all steps.
    pub fn count(self, least_bytes: Option<u64>) -> Count {
        let ms = self.timed.then(|| self.times.iter().filter_map(|kernel| kernel.ms).sum());
        Count {
            launches: self.kernels.iter().map(|kernel| kernel.launches as u64).sum(),
            bytes: self.bytes,
            least_bytes,
            ms,
            kernels: if self.timed { self.times } else { self.kernels },
        }
    }

    /// Call this before each step, and once after the last.
    pub fn before_step(&mut self) {
        // An error there shows in the step's own result.
        let _ = self.device.sync();
        match self.at {
            WARM => {
                operations();
                self.watch = Some(Watch::start(false));
            }
            COUNTED => {
                let watch = self.watch.take();
                self.kernels = watch.map(|watch| watch.kernels(1)).unwrap_or_default();
                self.step = operations();
            }
            KNOWN => {
                self.bytes = traffic(&self.step, &operations()).filter(|bytes| bytes.read > 0);
                self.watch = self.timed.then(|| Watch::start(true));
            }
            STEPS => {
                let watch = self.watch.take();
                self.times = watch.map(|watch| watch.kernels(TIMED)).unwrap_or_default();
            }
            _ => {}
        }
        self.at += 1;
    }
}

/// As text for a person.
pub fn print(count: &Count) {
    let time = count.ms.map_or(String::new(), |ms| format!(", {ms:.1} ms in kernels"));
    println!("{} launches in a step{time}", count.launches);
    match &count.bytes {
        Some(bytes) => {
            let moved = bytes.read + bytes.written;
            let least = count.least_bytes.map_or(String::new(), |least| {
                format!("; {:.2} times the least possible", moved as f64 / least as f64)
            });
            println!(
                "{} MB read and {} MB written by operations{least}",
                mega(bytes.read),
                mega(bytes.written)
            );
        }
        None => println!("bytes unknown: Burn logged no operations"),
    }
    let name = "kernel";
    match count.ms {
        Some(_) => println!("{name:<32} {:>8} {:>9} {:>6}", "launches", "ms", "share"),
        None => println!("{name:<32} {:>8}", "launches"),
    }
    for kernel in &count.kernels {
        let Kernel { kernel, launches, ms, share } = kernel;
        match ms.zip(*share) {
            Some((ms, share)) => {
                println!("{kernel:<32} {launches:>8} {ms:>9.3} {:>4.0} %", 100.0 * share);
            }
            None => println!("{kernel:<32} {launches:>8}"),
        }
    }
}

fn mega(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}
