//! The number of threads that compute. Results do not depend on it.

use std::thread::available_parallelism;

use rayon::ThreadPoolBuilder;

use crate::error::usage;
use crate::observer::Voice;

/// More threads than cores gain nothing, and thousands of them delay the start by minutes. A few
/// more than cores are allowed, to check that results stay the same.
fn most() -> usize {
    (4 * cores()).max(16)
}

fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Starts the threads of the process: as many as `flag` (`--threads`) or else `RAYON_NUM_THREADS`
/// says, or one for each core. Call it once, before any computation.
///
/// # Errors
/// `--threads 0`, or the system starts no thread.
pub fn start(flag: Option<usize>, voice: &Voice) -> anyhow::Result<()> {
    const VARIABLE: &str = "RAYON_NUM_THREADS";
    let threads = match flag {
        Some(0) => return Err(usage("--threads: at least 1")),
        Some(asked) => bounded(asked, "--threads", voice),
        None => {
            let variable = std::env::var(VARIABLE).ok().and_then(|text| text.trim().parse().ok());
            variable.filter(|n| *n > 0).map_or_else(cores, |asked| bounded(asked, VARIABLE, voice))
        }
    };
    Ok(ThreadPoolBuilder::new().num_threads(threads).build_global()?)
}

/// Limits `asked` to a sensible number of threads, and reports it. `by`: the source of the number.
pub fn bounded(asked: usize, by: &str, voice: &Voice) -> usize {
    let threads = asked.min(most());
    if threads < asked {
        let cores = crate::words::count(cores(), "core");
        voice.note(format_args!(
            "{by}: {asked} threads are too many for {cores}; {threads} are used"
        ));
    }
    threads
}

/// The threads of a loader: `data.threads`, or as many as compute if it is unset.
pub fn of_loader(setting: Option<usize>) -> Option<usize> {
    Some(setting.map_or_else(rayon::current_num_threads, |asked| asked.min(most())))
}
