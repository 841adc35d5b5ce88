//! Reads the log of CubeCL and Burn: compiled kernels, and operations.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::{LevelFilter, Log, Metadata, Record};

/// The logger with a line per compiled kernel.
const COMPILATION: &str = "cubecl::compilation";
/// The logger with tables of operations.
const OPERATIONS: &str = "burn::fusion";
/// Shorter work is not reported.
const PATIENCE: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(10);

static COMPILED: AtomicU64 = AtomicU64::new(0);
static KEPT: AtomicBool = AtomicBool::new(false);
static RAN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Number of kernels compiled since the program began. Kernels from the cache do not count.
pub fn compiled() -> u64 {
    COMPILED.load(Ordering::Relaxed)
}

/// The tables of operations since the last call, the oldest first.
pub fn operations() -> Vec<String> {
    std::mem::take(&mut RAN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Starts to listen. `kept`: whether compiled kernels are kept for the next process.
pub fn listen(kept: bool) {
    KEPT.store(kept, Ordering::Relaxed);
    if log::set_logger(&Listener).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

struct Listener;

impl Log for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        matches!(metadata.target(), COMPILATION | OPERATIONS)
    }

    fn log(&self, record: &Record<'_>) {
        match record.target() {
            COMPILATION => say(COMPILED.fetch_add(1, Ordering::Relaxed) + 1),
            OPERATIONS => {
                let text = record.args().to_string();
                RAN.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
            _ => {}
        }
    }

    fn flush(&self) {}
}

/// Reports a line now and then, from the log thread of CubeCL.
fn say(compiled: u64) {
    /// When the next line is due.
    static DUE: Mutex<Option<Instant>> = Mutex::new(None);
    let mut due = DUE.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if now < *due.get_or_insert(now + PATIENCE) {
        return;
    }
    *due = Some(now + LINE_EVERY);
    let once = if KEPT.load(Ordering::Relaxed) { ", once" } else { "" };
    super::told(|voice| {
        voice.note(format_args!("compiling kernels for this GPU{once}: {compiled} so far"));
    });
}
