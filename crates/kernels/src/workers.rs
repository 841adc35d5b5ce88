//! Runs work on the compute threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::backend::DispatchDevice;
use burn::tensor::Device;
use rayon::prelude::*;

use crate::precision::{autocast, current};
use crate::ranks::{current_ranks, together};

/// Runs `f` on a compute thread if `device` is a CPU device with our kernels. Otherwise just runs
/// it.
///
/// A kernel called from another thread must wake a compute thread and then sleep until it is done.
/// A training step calls hundreds of kernels, and some are shorter than this wait. Steps of small
/// networks are up to a third faster if they run in here as a whole. [`autocast`] and [`together`]
/// also hold inside. `f` should compute, not wait: it occupies a compute thread.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let sum = selfsame_kernels::on_workers(&device, || Tensor::<1>::ones([3], &device).sum());
/// assert_eq!(sum.into_scalar::<f32>(), 3.0);
/// ```
pub fn on_workers<R: Send>(device: &Device, f: impl FnOnce() -> R + Send) -> R {
    if !is_cpu(device) {
        return f();
    }
    let (precision, ranks) = (current(), current_ranks());
    rayon::scope(|_| {
        let _awake = Awake::keep();
        together(ranks, || autocast(precision, f))
    })
}

/// Runs `f` on every item. If `device` is a CPU device with our kernels, it runs on all threads at
/// once. On any other device it runs on one item after the other, because the device's queue does
/// the work.
///
/// It is for updates of parameters. A network has a hundred tensors. Most are far too small for all
/// threads. With one tensor after the other, threads would mostly wait.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use selfsame_kernels::{for_each_tensor, moving_average};
///
/// let device = Device::flex();
/// let ones = |len| Tensor::<1>::ones([len], &device);
/// let pairs = vec![(ones(3), ones(3)), (ones(5), ones(5))];
/// let averages = for_each_tensor(&device, pairs, |(a, b)| moving_average(a, b, 0.99));
/// assert_eq!(averages[1].dims(), [5]);
/// ```
pub fn for_each_tensor<T: Send, R: Send>(
    device: &Device,
    items: Vec<T>,
    f: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    if !is_cpu(device) {
        return items.into_iter().map(f).collect();
    }
    let precision = current();
    items.into_par_iter().with_max_len(1).map(|item| autocast(precision, || f(item))).collect()
}

/// The time that a thread looks for work before it may sleep. It is longer than the serial work
/// between two kernels.
const PATIENCE: Duration = Duration::from_micros(500);

/// Pauses between two looks, so that the search does not slow down the working thread.
const SPINS: usize = 200;

/// Keeps the other threads from falling asleep between kernels, until it is dropped.
///
/// If the other threads sleep, a kernel waits until the system wakes them. This takes as long as a
/// short kernel. So they look for work instead, and let all other threads of the system go first. A
/// thread that finds no work for [`PATIENCE`] gives up: it may have begun to look in the middle of
/// a job that the main thread waits for.
struct Awake(Arc<AtomicBool>);

impl Awake {
    fn keep() -> Self {
        let wanted = Arc::new(AtomicBool::new(true));
        let (owner, watched) = (rayon::current_thread_index(), wanted.clone());
        rayon::spawn_broadcast(move |context| {
            if Some(context.index()) == owner {
                return;
            }
            let mut busy = Instant::now();
            while watched.load(Ordering::Relaxed) && busy.elapsed() < PATIENCE {
                match rayon::yield_now() {
                    Some(rayon::Yield::Executed) => busy = Instant::now(),
                    _ => {
                        (0..SPINS).for_each(|_| std::hint::spin_loop());
                        std::thread::yield_now();
                    }
                }
            }
        });
        Self(wanted)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Whether this is a CPU with our kernels.
pub fn is_cpu(device: &Device) -> bool {
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        _ => false,
    }
}

/// Whether this is a GPU with our kernels.
pub fn is_gpu(device: &Device) -> bool {
    match device.clone().inner().as_dispatch() {
        #[cfg(any(feature = "cuda", feature = "wgpu"))]
        DispatchDevice::Cube(_) => true,
        _ => false,
    }
}
