//! Checks that a GPU exists and computes, before any work starts.

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(any(feature = "cuda", feature = "wgpu", test))]
use {
    crate::error::usage,
    burn::tensor::{Device, Tensor},
};

/// The most characters of a panic's message. The first words say what is wrong. CUDA adds dozens of
/// file names.
const MOST: usize = 160;

/// Returns the device after a test: a kernel is compiled, sent to it and run. If this fails, Burn
/// panics on another thread. The kernel is an exponential, because NVIDIA's compiler needs a
/// library for it, but not for sums.
///
/// # Errors
/// The test panicked. The error has the message and what such a device `needs`.
#[cfg(any(feature = "cuda", feature = "wgpu", test))]
pub fn checked(name: &str, needs: &str, device: impl FnOnce() -> Device) -> anyhow::Result<Device> {
    let answer = caught(|| {
        let device = device();
        let e = Tensor::<1>::ones([2], &device).exp().mean().into_scalar::<f32>();
        (device, e)
    });
    let why = match answer {
        Ok((device, e)) if (e - std::f32::consts::E).abs() < 1e-3 => return Ok(device),
        Ok((_, e)) => format!("e is {e} there"),
        Err(why) => why,
    };
    Err(usage(format!("--device {name} cannot be used ({why}); {needs}")))
}

/// The result of `ask`. If it panics, here or on other threads, the error has the message, and
/// nothing is printed.
pub fn caught<T>(ask: impl FnOnce() -> T) -> Result<T, String> {
    /// The panic hook belongs to the whole process.
    static ASKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or("it panicked").to_owned();
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }));
    let answer = catch_unwind(AssertUnwindSafe(ask));
    panic::set_hook(usual);
    answer.map_err(|_| cause(&said.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// The cause among the messages of all panics: Burn's own error with its chain of causes, or else
/// the first message. It causes the others.
pub fn cause(said: &[String]) -> String {
    let chain = said.iter().rev().find_map(|text| Some(text.rsplit_once("Caused by:")?.1));
    let text = chain.or_else(|| said.first().map(String::as_str)).unwrap_or_default();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let cut: String = line.chars().take(MOST).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind};

    #[test]
    fn a_device_that_computes_is_taken_and_one_that_does_not_is_said_to_be_unusable() {
        checked("flex", "nothing", Device::flex).unwrap();
        let error = checked("gpu:3", "a driver", || {
            let other = || panic!("no library, looked for {}", "x ".repeat(500));
            std::thread::spawn(other).join().unwrap_err();
            panic!("the other thread is gone")
        });
        let error = error.unwrap_err();
        let text = error.to_string();
        assert_eq!(Error::from(error).kind(), ErrorKind::Request);
        assert!(
            text.starts_with("--device gpu:3 cannot be used (no library, looked for x "),
            "{text}"
        );
        assert!(text.ends_with("…); a driver") && text.len() < 250, "{text}");
    }

    #[test]
    fn of_a_chain_of_causes_the_last_is_told() {
        let chain = "\n  cannot read\nCaused by:\n  a launch\nCaused by:\n  no library: look there\nBacktrace:\n  0";
        let said = ["a candidate", chain, "nobody receives"].map(str::to_owned);
        assert_eq!(cause(&said), "no library: look there");
        let said = ["\n  not installed.\n  set it", "nobody receives"].map(str::to_owned);
        assert_eq!(cause(&said), "not installed.");
        assert_eq!(cause(&[]), "");
    }
}
