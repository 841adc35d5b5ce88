//! Keeps the state after the last step, in case the next one never ends.
//!
//! Ranks wait for each other in the middle of a step. If one of them is lost, rank 0 waits for
//! ever, until its launcher ends it: with SIGTERM and, a second (`mpirun`) or thirty (`srun`)
//! later, with SIGKILL. In between, another thread writes the state after the last step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;

use super::interrupt::Interrupt;
use crate::device::cause;
use crate::error::{Error, Interrupted};
use crate::observer::{Event, Voice};
use crate::words::reasons;

/// Writes a checkpoint and returns its step.
type Save = Box<dyn FnOnce() -> anyhow::Result<u64> + Send>;

/// The state that is lost if this run ends now. `None` if a checkpoint already holds it.
#[derive(Default)]
pub struct Rescue(Mutex<Option<Save>>);

impl Rescue {
    /// The interval between checks whether the run was asked to end.
    const LOOK: Duration = Duration::from_millis(20);
    /// Time for a run with all its ranks to end by itself after its step. `mpirun` gives one second
    /// for everything.
    const PATIENCE: Duration = Duration::from_millis(100);
    /// Time for saving. A GPU that waits for a lost one in a sum never finishes.
    const LIMIT: Duration = Duration::from_secs(120);

    /// Replaces the kept state.
    pub fn keep(&self, save: impl FnOnce() -> anyhow::Result<u64> + Send + 'static) {
        *self.kept() = Some(Box::new(save));
    }

    /// Drops the kept state: nothing can be lost any more.
    pub fn forget(&self) {
        *self.kept() = None;
    }

    /// Saves the kept state. Returns `None` if there is none.
    pub fn save(&self) -> Option<anyhow::Result<u64>> {
        // The lock is held while saving. Another thread with a later step must wait.
        let mut kept = self.kept();
        kept.take().map(|save| save())
    }

    /// Like [`save`](Self::save), and tells the user. Returns whether there was a state to save.
    pub fn save_and_say(self: &Arc<Self>, why: &str, voice: &Voice) -> bool {
        self.save_within(Self::LIMIT, why, voice)
    }

    fn save_within(self: &Arc<Self>, limit: Duration, why: &str, voice: &Voice) -> bool {
        let (saved, heard) = mpsc::channel();
        let rescue = self.clone();
        std::thread::spawn(move || {
            // The receiver may have stopped waiting.
            let _ = saved.send(rescue.save());
        });
        match heard.recv_timeout(limit) {
            Ok(None) => return false,
            Ok(Some(Ok(step))) => {
                voice.note(format_args!(
                    "{why}: the state after step {step} is saved, go on with --resume auto"
                ));
            }
            Ok(Some(Err(error))) => {
                voice.warn(format_args!(
                    "{why}: the state after the last step could not be saved: {}",
                    reasons(&error)
                ));
            }
            Err(error) => {
                let reason = match error {
                    RecvTimeoutError::Timeout => {
                        format!("in {limit:?}: its GPU may wait for a lost rank")
                    }
                    RecvTimeoutError::Disconnected => "from a device that has failed".to_owned(),
                };
                voice.warn(format_args!(
                    "{why}: the state after the last step could not be saved {reason}; \
                     --resume auto goes on from the last checkpoint"
                ));
            }
        }
        true
    }

    /// From now on, saves the kept state if the run is hurried and does not end by itself soon
    /// after. Reports to the observer that the run is lost.
    pub fn watch(self: Arc<Self>, interrupt: &Interrupt, voice: Voice) {
        let of_watcher = voice.clone();
        self.once(interrupt.hurried(), of_watcher, move || {
            let ended = Interrupted("ended in the middle of a step".into());
            voice.tell(&Event::Lost(&Error::from(anyhow::Error::from(ended))));
        });
    }

    /// [`watch`](Self::watch) with another ending. Without a kept state nothing can be lost. Then
    /// the run ends by itself or by its launcher.
    fn once(
        self: Arc<Self>,
        told: Arc<AtomicBool>,
        voice: Voice,
        end: impl FnOnce() + Send + 'static,
    ) {
        std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                std::thread::sleep(Self::LOOK);
            }
            std::thread::sleep(Self::PATIENCE);
            if self.save_and_say("told to end in the middle of a step", &voice) {
                end();
            }
        });
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Save>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `run` as rank `rank`. If it panics, the kept state is saved, because all other ranks would
/// wait for this rank for ever. Burn panics if a GPU is out of memory.
///
/// # Errors
/// Those of `run`, and the message of a panic.
pub fn or_lost<T>(
    rank: usize,
    rescue: &Arc<Rescue>,
    voice: &Voice,
    run: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| Some((*panic.downcast_ref::<&str>()?).to_owned()));
        rescue.save_and_say(&format!("rank {rank} is lost"), voice);
        let text = text.unwrap_or_else(|| "it panicked".to_owned());
        Err(anyhow!("rank {rank} is lost: {}", cause(&[text])))
    })
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use super::*;

    #[test]
    fn what_was_kept_last_is_saved_once_and_what_is_forgotten_is_not() {
        let rescue = Rescue::default();
        assert!(rescue.save().is_none());
        rescue.keep(|| Ok(1));
        rescue.keep(|| Ok(2));
        assert_eq!(rescue.save().unwrap().unwrap(), 2);
        assert!(rescue.save().is_none());
        rescue.keep(|| Ok(3));
        rescue.forget();
        assert!(rescue.save().is_none());
    }

    #[test]
    fn whoever_is_told_to_end_in_the_middle_of_a_step_is_saved_and_then_ended() {
        let (rescue, told) = (Arc::new(Rescue::default()), Arc::new(AtomicBool::new(false)));
        let (happened, heard) = mpsc::channel();
        let ended = happened.clone();
        rescue.keep(move || {
            happened.send("saved")?;
            Ok(7)
        });
        rescue.clone().once(told.clone(), Voice::silent(), move || ended.send("ended").unwrap());
        assert!(heard.recv_timeout(5 * Rescue::LOOK).is_err(), "before it was told");
        told.store(true, Ordering::Relaxed);
        for expected in ["saved", "ended"] {
            assert_eq!(heard.recv_timeout(Duration::from_secs(20)), Ok(expected));
        }
    }

    #[test]
    fn a_run_that_has_saved_everything_ends_by_itself() {
        let (rescue, told) = (Arc::new(Rescue::default()), Arc::new(AtomicBool::new(true)));
        let (ended, heard) = mpsc::channel();
        rescue.once(told, Voice::silent(), move || ended.send(()).unwrap());
        // Disconnected: the thread ended without an answer.
        assert_eq!(
            heard.recv_timeout(Duration::from_secs(20)),
            Err(RecvTimeoutError::Disconnected)
        );
    }

    #[test]
    fn who_waits_for_a_device_that_never_answers_is_not_waited_for() {
        let (rescue, (never, answer)) = (Arc::new(Rescue::default()), mpsc::channel::<u64>());
        rescue.keep(move || Ok(answer.recv()?));
        assert!(rescue.save_within(Duration::from_millis(50), "rank 1 is lost", &Voice::silent()));
        drop(never);
        // A panic in the thread counts as no answer. It is not waited for.
        rescue.keep(|| resume_unwind(Box::new("the device has failed")));
        assert!(rescue.save_and_say("rank 1 is lost", &Voice::silent()));
    }

    #[test]
    fn a_rank_that_panics_has_the_state_saved_and_is_an_error_with_its_words() {
        let (rescue, (saved, steps)) = (Arc::new(Rescue::default()), mpsc::channel());
        rescue.keep(move || {
            saved.send(7)?;
            Ok(7)
        });
        assert!(or_lost(1, &rescue, &Voice::silent(), || Ok(())).is_ok());
        assert!(or_lost::<()>(1, &rescue, &Voice::silent(), || Err(anyhow!("its own"))).is_err());
        assert!(steps.try_recv().is_err(), "saved though nobody was lost");
        // Like a panic, but without the hook that prints it.
        let chain = "the bytes were never written\nCaused by:\n  no memory\nBacktrace:".to_owned();
        let error = or_lost::<()>(2, &rescue, &Voice::silent(), || resume_unwind(Box::new(chain)));
        assert_eq!(error.unwrap_err().to_string(), "rank 2 is lost: no memory");
        assert_eq!(steps.try_recv(), Ok(7));
        let error =
            or_lost::<()>(0, &rescue, &Voice::silent(), || resume_unwind(Box::new("plain")));
        assert_eq!(error.unwrap_err().to_string(), "rank 0 is lost: plain");
    }
}
