//! What CubeCL and Burn log that this program listens to: kernels that are compiled, and operations
//! that run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::{LevelFilter, Log, Metadata, Record};

/// A line per compiled kernel.
const COMPILATION: &str = "cubecl::compilation";
/// A table of operations whenever some of them run.
const OPERATIONS: &str = "burn::fusion";
/// Of what takes less long, nothing is said.
const PATIENCE: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(10);

static COMPILED: AtomicU64 = AtomicU64::new(0);
static KEPT: AtomicBool = AtomicBool::new(false);
static RAN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How many kernels have been compiled since the program began; one that was read from the cache is
/// none.
pub fn compiled() -> u64 {
    COMPILED.load(Ordering::Relaxed)
}

/// The tables of operations that ran since the last call, the oldest first.
pub fn operations() -> Vec<String> {
    std::mem::take(&mut RAN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// From now on. `kept`: whether what is compiled now need not be compiled by the next program.
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

/// A line now and then, from the thread that CubeCL writes its log on.
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
