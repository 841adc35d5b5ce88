//! Checks that several GPUs can sum with NCCL, before any work starts.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use burn::tensor::{Device, Tensor};
use selfsame_kernels::{Ranks, all_sum, connected, device_ranks, thread_ranks};

use super::answers::caught;
use crate::error::usage;
use crate::observer::Voice;

/// NCCL takes seconds to connect eight GPUs. If one GPU fails, the others wait for it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A rank for each device in `names`; all are threads of this process. GPUs sum by NCCL if it is
/// installed and `nccl` is set. All other devices sum through host memory.
///
/// # Errors
/// NCCL is installed and does not work.
pub fn ranks_on(
    names: &str,
    devices: &[Device],
    nccl: bool,
    voice: &Voice,
) -> anyhow::Result<Vec<Arc<dyn Ranks>>> {
    if !nccl || !connected(devices) {
        if nccl && names.contains("cuda") {
            voice.note(
                "no NCCL between these GPUs; they exchange through the host's memory (NCCL needs a \
                 libnccl.so in the loader's path, and different GPUs)",
            );
        }
        return Ok(thread_ranks(devices.len()));
    }
    let ranks = device_ranks(devices);
    agree_on_sum(&ranks, devices).map_err(|why| {
        usage(format!(
            "--device {names}: NCCL cannot sum between these GPUs ({why}); set NCCL_DEBUG=INFO in \
             the environment for details, or use --set train.nccl=false"
        ))
    })?;
    Ok(ranks)
}

/// Lets the ranks sum a few numbers, each on its device.
///
/// # Errors
/// The reason of the failure.
fn agree_on_sum(ranks: &[Arc<dyn Ranks>], devices: &[Device]) -> Result<(), String> {
    let (answer, heard) = mpsc::channel();
    let count = ranks.len();
    let sums = caught(move || {
        for (ranks, device) in ranks.iter().cloned().zip(devices.iter().cloned()) {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mine = (ranks.rank() + 1) as f32;
                let mine = Tensor::<1>::from_floats([mine, 10.0 * mine, -mine, 0.5], &device);
                // The receiver may have stopped waiting.
                let _ = answer.send(all_sum(mine, &*ranks).into_data().iter::<f32>().collect());
            });
        }
        drop(answer);
        let sum = || heard.recv_timeout(PATIENCE).expect("every rank answers in time");
        (0..count).map(|_| sum()).collect::<Vec<Vec<f32>>>()
    })?;
    let n = count as f32;
    let sum = n * (n + 1.0) / 2.0;
    let expected = [sum, 10.0 * sum, -sum, 0.5 * n];
    match sums.iter().find(|sums| **sums != expected) {
        Some(wrong) => Err(format!("the sum is {wrong:?}, but should be {expected:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_sum_through_the_memory_and_get_it_right() {
        let devices = vec![Device::flex(); 3];
        let ranks = ranks_on("flex,flex,flex", &devices, true, &Voice::silent()).unwrap();
        assert!(ranks.len() == 3 && ranks.iter().all(|ranks| ranks.device_sums().is_none()));
        agree_on_sum(&ranks, &devices).unwrap();
    }

    /// A single rank with a sum of its own.
    #[derive(Debug)]
    struct Alone(fn(&mut [f32]));

    impl Ranks for Alone {
        fn rank(&self) -> usize {
            0
        }

        fn count(&self) -> usize {
            1
        }

        fn gather(&self, bytes: &[u8]) -> Vec<u8> {
            bytes.to_vec()
        }

        fn sum(&self, values: &mut [f32]) {
            self.0(values);
        }

        fn broadcast(&self, _: &mut [u8]) {}
    }

    #[test]
    fn a_wrong_sum_and_a_rank_that_panics_are_found() {
        let ask = |sum| agree_on_sum(&[Arc::new(Alone(sum))], &[Device::flex()]);
        assert_eq!(ask(|_| ()), Ok(()));
        let wrong = ask(|values| values[1] += 1.0).unwrap_err();
        assert!(wrong.contains("[1.0, 11.0, -1.0, 0.5]"), "{wrong}");
        assert_eq!(ask(|_| panic!("no way to rank 1")), Err("no way to rank 1".to_owned()));
    }
}
