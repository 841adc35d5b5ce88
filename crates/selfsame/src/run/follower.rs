//! A rank that is not the first.

use std::collections::BTreeMap;

use selfsame_data::Splits;
use selfsame_kernels::Together;
use selfsame_trainers::{Flow, Hooks, Method, StepReport, Trainer};

use super::interrupt::Interrupt;
use super::training::{Place, Training};
use crate::device::job::gather_bytes;
use crate::methods::MethodTask;
use crate::settings::RunConfig;

/// Trains with the others. Rank 0 evaluates, saves and reports.
pub struct Follower<'a> {
    pub config: &'a RunConfig,
    pub data: &'a Splits,
    pub place: Place,
}

impl MethodTask for Follower<'_> {
    type Output = ();

    fn run<M: Method>(self, method: M) -> anyhow::Result<()> {
        let mut training = Training::new(method, self.config, self.data, &self.place)?;
        training.start_as_rank_0()?;
        if training.as_rank_0(false) {
            self.place.interrupt.training_begins();
            let mut hooks = Interruptible { interrupt: self.place.interrupt.clone() };
            let result = training.fit(&mut hooks);
            all_skipped(&self.place, training.loader.skipped());
            if let Err(error) = result {
                let rank = self.place.rank();
                self.place.voice.warn(format_args!("rank {rank}: {error}"));
            }
        }
        Ok(())
    }
}

/// Ends training on all ranks when this rank is asked to end.
struct Interruptible {
    interrupt: Interrupt,
}

impl<M: Method> Hooks<M> for Interruptible {
    /// Rank 0 decides when to read.
    fn reads(&self, _: u64) -> bool {
        false
    }

    fn after_step(
        &mut self,
        _: &Trainer<M>,
        _: &StepReport,
    ) -> Result<Flow, Box<dyn std::error::Error + Send + Sync>> {
        Ok(if self.interrupt.told() { Flow::Stop } else { Flow::Continue })
    }
}

/// The images that at least one rank could not read, with the reasons.
pub fn all_skipped(place: &Place, mine: BTreeMap<usize, String>) -> BTreeMap<usize, String> {
    let Some(Together { ranks, .. }) = &place.together else { return mine };
    let bytes = serde_json::to_vec(&mine).unwrap_or_default();
    let lists = gather_bytes(&**ranks, &bytes);
    lists
        .iter()
        .filter_map(|list| serde_json::from_slice::<BTreeMap<usize, String>>(list).ok())
        .flatten()
        .collect()
}
