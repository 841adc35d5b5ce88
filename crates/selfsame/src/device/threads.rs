//! How many threads compute. Results do not depend on it.

use std::thread::available_parallelism;

use rayon::ThreadPoolBuilder;

use crate::error::usage;
use crate::observer::Voice;

/// Threads beyond the cores gain nothing, and thousands of them start no work for minutes. Some
/// more than cores are allowed, to see that results stay the same.
fn most() -> usize {
    (4 * cores()).max(16)
}

fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Starts those of the whole process: as many as `flag` (`--threads`) or else `RAYON_NUM_THREADS`
/// says, or one for each core. To be called once, before anything computes.
///
/// # Errors
/// `--threads 0`, and a system that starts no thread.
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

/// As many of `asked` threads as make sense, and says so where these are fewer. `by`: where the
/// number stands.
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

/// Of a loader, whose setting is `data.threads`: as many as compute, where it is unset.
pub fn of_loader(setting: Option<usize>) -> Option<usize> {
    Some(setting.map_or_else(rayon::current_num_threads, |asked| asked.min(most())))
}
