//! A whole step of a method: two views, forward, backward, optimiser, and the method's own update.

use std::sync::{Mutex, PoisonError};

use selfsame_models::Stem;
use selfsame_trainers::{Flow, Hooks, Method, StepReport, Trainer};

use super::StepArgs;
use super::count::{Count, Counter, STEPS};
use selfsame::Interrupt;
use selfsame::settings::Method as Name;
use selfsame::settings::{Overrides, RunConfig};
use selfsame::workshop;
use selfsame::workshop::{MethodTask, with_method};
use selfsame::workshop::{Place, Training, open};
use selfsame_cli::Terminal;

/// Counts the work of `pretrain` between two reads of the loss, on drawn images.
pub fn count(args: &StepArgs, method: Name) -> anyhow::Result<Count> {
    let stem = match super::stem(args) {
        Stem::Cifar => "cifar",
        Stem::ImageNet => "imagenet",
    };
    let architecture = serde_json::to_value(args.architecture)?;
    let overrides = Overrides {
        dataset: Some("shapes".into()),
        device: Some(args.device.clone()),
        precision: Some(args.precision),
        // As many images as the steps need, in one epoch.
        limit: Some(args.batch * (STEPS as usize + 2)),
        set: vec![
            format!("train.batch_size={}", args.batch),
            format!("views.size={}", args.size),
            format!("encoder.architecture={}", architecture.as_str().unwrap_or_default()),
            format!("encoder.stem={stem}"),
            format!("encoder.base_width={}", args.width),
            "train.warmup_epochs=0".into(),
        ],
        ..Overrides::default()
    };
    let mut config = overrides.resolve(method)?;
    let voice = Terminal::new().voice();
    let data = open(&mut config, &voice)?;
    let place = Place {
        device: workshop::parse(&args.device)?,
        together: None,
        threads: None,
        rescue: None,
        interrupt: Interrupt::default(),
        voice,
    };
    let task = Steps { config: &config, data: &data, place: &place, timed: args.profile };
    with_method(
        &config.settings,
        &config.encoder.resnet(),
        config.seed,
        &place.device.clone().autodiff(),
        task,
    )
}

struct Steps<'a> {
    config: &'a RunConfig,
    data: &'a selfsame_data::Splits,
    place: &'a Place,
    timed: bool,
}

impl MethodTask for Steps<'_> {
    type Output = Count;

    fn run<M: Method>(self, method: M) -> anyhow::Result<Count> {
        let Self { config, data, place, timed } = self;
        let mut training = Training::new(method, config, data, place)?;
        // The last boundary is the beginning of one more step.
        training.last_step = (STEPS + 1).min(training.steps);
        let mut hooks = Boundaries(Mutex::new(Counter::new(&place.device, timed)));
        training.fit(&mut hooks)?;
        Ok(hooks.0.into_inner().unwrap_or_else(PoisonError::into_inner).count(None))
    }
}

/// Called before every step. It reads no figures, like `pretrain` in most steps on a GPU.
struct Boundaries(Mutex<Counter>);

impl<M: Method> Hooks<M> for Boundaries {
    fn reads(&self, _: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).before_step();
        false
    }

    fn after_step(
        &mut self,
        _: &Trainer<M>,
        _: &StepReport,
    ) -> Result<Flow, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Flow::Continue)
    }
}
