//! Whether a GPU is there and computes, asked before anything is begun.

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor};

use crate::usage::usage;

/// Of a panic's message. The first words say what is wrong; CUDA's go on with dozens of file names.
const MOST: usize = 120;

/// The device, after it has computed something: a kernel has then been compiled, sent there and run. Burn panics where that
/// does not work, on a thread of its own.
///
/// # Errors
/// What it panicked with, and what a device of this kind `needs`.
pub fn checked(name: &str, needs: &str, device: impl FnOnce() -> Device) -> anyhow::Result<Device> {
    let first = Arc::new(Mutex::new(None));
    let heard = first.clone();
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or("it panicked").to_owned();
        heard.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
    }));
    let answer = catch_unwind(AssertUnwindSafe(|| {
        let device = device();
        let sum = Tensor::<1>::ones([2], &device).sum().into_scalar::<f32>();
        (device, sum)
    }));
    panic::set_hook(usual);
    let why = match answer {
        Ok((device, 2.0)) => return Ok(device),
        Ok((_, sum)) => format!("1 + 1 is {sum} there"),
        Err(_) => {
            let text = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            let text = text.unwrap_or_default();
            let line = text.lines().next().unwrap_or_default();
            let cut: String = line.chars().take(MOST).collect();
            if cut.len() < line.len() { format!("{cut}…") } else { cut }
        }
    };
    Err(usage(format!("--device {name} cannot be used ({why}); {needs}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::status;

    #[test]
    fn a_device_that_computes_is_taken_and_one_that_does_not_is_said_to_be_unusable() {
        checked("flex", "nothing", Device::flex).unwrap();
        let error = checked("gpu:3", "a driver", || {
            let other = || panic!("no library, looked for {}", "x ".repeat(500));
            std::thread::spawn(other).join().unwrap_err();
            panic!("the other thread is gone")
        });
        let error = error.unwrap_err();
        assert_eq!(status(&error), 2);
        let text = error.to_string();
        assert!(
            text.starts_with("--device gpu:3 cannot be used (no library, looked for x "),
            "{text}"
        );
        assert!(text.ends_with("…); a driver") && text.len() < 250, "{text}");
    }
}
