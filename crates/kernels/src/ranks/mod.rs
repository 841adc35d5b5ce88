//! Several processes or threads that train one network on parts of a batch.

pub(crate) mod collective;
#[cfg_attr(feature = "ndarray", expect(deprecated, reason = "supported until Burn removes it"))]
pub(crate) mod exchange;

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::{Arc, Barrier, Mutex, PoisonError};

use burn::tensor::Device;
use bytemuck::AnyBitPattern;

use crate::ranks::collective::{Collective, DeviceSums};

/// Processes (or threads) that train together, each on its part of every batch. A single process is
/// one rank.
///
/// All ranks call the same operations in the same order, with equally many values. All get the same
/// result, bit for bit. If a rank is gone, an operation ends the process: the others cannot go on.
pub trait Ranks: Debug + Send + Sync {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// The number of ranks.
    fn count(&self) -> usize;

    /// Everyone's bytes, in the order of ranks.
    fn gather(&self, bytes: &[u8]) -> Vec<u8>;

    /// Replaces the values by their sums over ranks.
    fn sum(&self, values: &mut [f32]);

    /// Replaces everyone's bytes by those of rank 0.
    fn broadcast(&self, bytes: &mut [u8]);

    /// How tensors are summed over ranks on their devices. `None` if they go through host memory.
    fn device_sums(&self) -> Option<&dyn DeviceSums> {
        None
    }
}

/// `count` ranks for as many threads of this process. Each has its own device or its own share of
/// the cores.
///
/// A thread that computes on a CPU needs a `rayon` pool of its own: the ranks wait for each other.
pub fn thread_ranks(count: usize) -> Vec<Arc<dyn Ranks>> {
    threads(count, None)
}

/// [`thread_ranks`], one for each device. The devices [sum tensors between
/// themselves](crate::connected).
pub fn device_ranks(devices: &[Device]) -> Vec<Arc<dyn Ranks>> {
    threads(devices.len(), Some(Collective::new(devices)))
}

fn threads(count: usize, sums: Option<Collective>) -> Vec<Arc<dyn Ranks>> {
    let brought = Mutex::new(vec![Vec::new(); count]);
    let meeting = Arc::new(Meeting { count, barrier: Barrier::new(count), brought, sums });
    (0..count)
        .map(|rank| Arc::new(Thread { rank, meeting: meeting.clone() }) as Arc<dyn Ranks>)
        .collect()
}

#[derive(Debug)]
struct Thread {
    rank: usize,
    meeting: Arc<Meeting>,
}

#[derive(Debug)]
struct Meeting {
    count: usize,
    barrier: Barrier,
    /// What each of the ranks has written.
    brought: Mutex<Vec<Vec<u8>>>,
    sums: Option<Collective>,
}

impl Thread {
    /// Writes `bytes` and reads those of all ranks.
    fn meet<R>(&self, bytes: &[u8], read: impl FnOnce(&[Vec<u8>]) -> R) -> R {
        let Meeting { barrier, brought, .. } = &*self.meeting;
        let lock = || brought.lock().unwrap_or_else(PoisonError::into_inner);
        lock()[self.rank] = bytes.to_vec();
        barrier.wait();
        let result = read(&lock());
        // No rank may write again before all ranks have read.
        barrier.wait();
        result
    }
}

impl Ranks for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.meeting.count
    }

    fn gather(&self, bytes: &[u8]) -> Vec<u8> {
        self.meet(bytes, |all| all.concat())
    }

    fn sum(&self, values: &mut [f32]) {
        let mine: Vec<u8> = bytemuck::cast_slice(values).to_vec();
        self.meet(&mine, |all| {
            values.fill(0.0);
            for part in all {
                let part = numbers::<f32>(part);
                values.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
            }
        });
    }

    fn broadcast(&self, bytes: &mut [u8]) {
        let mine = if self.rank == 0 { bytes.to_vec() } else { Vec::new() };
        self.meet(&mine, |all| bytes.copy_from_slice(&all[0]));
    }

    fn device_sums(&self) -> Option<&dyn DeviceSums> {
        self.meeting.sums.as_ref().map(|sums| sums as &dyn DeviceSums)
    }
}

/// Ranks that train together, and their settings for the networks.
#[derive(Debug, Clone)]
pub struct Together {
    /// The ranks.
    pub ranks: Arc<dyn Ranks>,
    /// Whether batch norm takes its statistics over the whole batch ("synchronised"), as in one
    /// process, or only over this rank's part.
    pub batch_norm: bool,
}

thread_local! {
    static CURRENT: RefCell<Option<Together>> = const { RefCell::new(None) };
}

/// Runs `f` as one of several ranks. This holds for all operations of this crate on this thread. It
/// also holds for their gradients, even if they are computed later.
pub fn together<R>(ranks: Option<Together>, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Together>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(ranks));
    f()
}

/// The ranks of the innermost [`together`].
pub fn current_ranks() -> Option<Together> {
    CURRENT.with_borrow(Clone::clone)
}

/// The ranks for synchronised batch norm, if there are several.
pub(crate) fn of_batch_norm() -> Option<Arc<dyn Ranks>> {
    current_ranks()
        .filter(|together| together.batch_norm && together.ranks.count() > 1)
        .map(|together| together.ranks)
}

/// Everyone's values, a list for each rank.
pub(crate) fn gather_f64(ranks: &dyn Ranks, values: &[f64]) -> Vec<Vec<f64>> {
    let all: Vec<f64> = numbers(&ranks.gather(bytemuck::cast_slice(values))).collect();
    all.chunks(values.len().max(1)).map(<[f64]>::to_vec).collect()
}

/// Everyone's values, one rank's after the other's.
pub(crate) fn gather_f32(ranks: &dyn Ranks, values: &[f32]) -> Vec<f32> {
    numbers(&ranks.gather(bytemuck::cast_slice(values))).collect()
}

/// Converts bytes to numbers, for any alignment.
fn numbers<T: AnyBitPattern>(bytes: &[u8]) -> impl Iterator<Item = T> {
    bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned)
}
