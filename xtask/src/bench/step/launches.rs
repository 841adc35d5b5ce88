//! The kernels of one step, as CubeCL launches them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cubecl::config::{TypeNameFormatLevel, type_name_format};
use cubecl::logging::{
    LaunchObservation, LaunchObserver, ProfileDuration, TimingMethod, TimingRequest,
};

use super::count::Kernel;

/// Records all launches of this process.
pub struct Watch {
    seen: Arc<Seen>,
    _watching: LaunchObservation,
}

impl Watch {
    /// `timed`: also measure their times. This makes the step a little slower.
    pub fn start(timed: bool) -> Self {
        let seen = Arc::new(Seen { timed, ..Seen::default() });
        let watching = LaunchObservation::new(seen.clone());
        Self { seen, _watching: watching }
    }

    /// Launches by name, the most frequent or the longest first. Means of `steps` steps.
    pub fn kernels(self, steps: u64) -> Vec<Kernel> {
        let mut kernels: BTreeMap<String, (u64, Duration)> = BTreeMap::new();
        for name in std::mem::take(&mut *lock(&self.seen.launched)) {
            kernels.entry(short(name)).or_default().0 += 1;
        }
        let unread = std::mem::take(&mut *lock(&self.seen.unread));
        let read = unread
            .into_iter()
            .filter_map(|(name, profile)| Some((name, wait(profile.resolve())?.duration())));
        let read: Vec<_> = read.chain(std::mem::take(&mut *lock(&self.seen.read))).collect();
        for (name, time) in read {
            kernels.entry(short(name)).or_default().1 += time;
        }
        let of_all = kernels.values().map(|(_, time)| time.as_secs_f64()).sum::<f64>();
        let mut kernels: Vec<Kernel> = kernels
            .into_iter()
            .map(|(kernel, (launches, time))| Kernel {
                kernel,
                launches: launches as f64 / steps as f64,
                ms: self.seen.timed.then(|| time.as_secs_f64() * 1e3 / steps as f64),
                share: self.seen.timed.then(|| time.as_secs_f64() / of_all.max(f64::MIN_POSITIVE)),
            })
            .collect();
        let rank = |kernel: &Kernel| (kernel.ms.unwrap_or(0.0), kernel.launches);
        kernels.sort_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1))
        });
        kernels
    }
}

#[derive(Default)]
struct Seen {
    timed: bool,
    launched: Mutex<Vec<&'static str>>,
    /// Measured times, to read after the step.
    unread: Mutex<Vec<(&'static str, ProfileDuration)>>,
    read: Mutex<Vec<(&'static str, Duration)>>,
}

impl LaunchObserver for Seen {
    fn launched(&self, kernel: &'static str) {
        lock(&self.launched).push(kernel);
    }

    fn timing(&self) -> TimingRequest {
        if self.timed { TimingRequest::Deferred } else { TimingRequest::None }
    }

    fn profiled(&self, kernel: &'static str, profile: ProfileDuration) {
        lock(&self.unread).push((kernel, profile));
    }

    fn timed(&self, kernel: &'static str, duration: Duration, _: TimingMethod) {
        lock(&self.read).push((kernel, duration));
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    cubecl::future::block_on(future)
}

/// `some::path::Kernel<f32, more>` is `Kernel`.
fn short(name: &str) -> String {
    type_name_format(name, TypeNameFormatLevel::Short)
}
