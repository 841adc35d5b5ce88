//! Training on labels, encoder and all.

use std::sync::Arc;

use selfsame_data::{ImageDataset, Labels, Splits, Subset};
use selfsame_eval::mean_and_deviation;
use selfsame_models::ResNet;
use selfsame_trainers::Flow;

use super::Setting;
use super::outcome::FinetuneRow;
use super::representation::{Representation, of_encoder};
use crate::finetune::{Finetune, FinetuneResult, FinetuneSettings, Start};
use crate::progress::{Tally, Unit};

/// How many labels; few ones are drawn once for each seed, all of them are trained on once.
const BUDGETS: [(&str, Option<Labels>); 3] =
    [("1 %", Some(Labels::Share(0.01))), ("10 %", Some(Labels::Share(0.1))), ("all", None)];

/// Fine-tuning from the pretrained encoder beside training from initial weights; from all labels, the latter is the supervised
/// encoder, which is returned as a representation.
pub fn rows(
    setting: &Setting<'_>,
    data: &Splits,
    trained: &ResNet,
) -> anyhow::Result<(Vec<FinetuneRow>, Representation)> {
    let judge = setting.judge;
    let test = data.test.clone().ok_or_else(|| anyhow::anyhow!("there are no test images"))?;
    let all = judge.train.shared();
    let mut tally = Tally::new(Unit::Items);
    let mut rows = Vec::new();
    let mut supervised = None;
    for (name, budget) in BUDGETS {
        let (mut images, mut epochs, mut steps, mut seconds) = (0, 0, 0, 0.0);
        let (mut pretrained, mut scratch) = (Vec::new(), Vec::new());
        let seeds = if budget.is_some() { setting.seeds } else { 1 };
        for seed in 0..seeds {
            let train: Arc<dyn ImageDataset> = match budget {
                Some(budget) => Arc::new(Subset::labelled(all.clone(), budget, seed)?),
                None => all.clone(),
            };
            images = train.len();
            let task = Finetune {
                config: setting.config,
                train,
                test: test.clone(),
                settings: FinetuneSettings::default(),
                device: setting.device,
            };
            let mut train = |what: &str, start: Start<'_>| -> anyhow::Result<FinetuneResult> {
                let title = format!("{what}, {name} of the labels, seed {seed}");
                task.run(start, seed, &mut |report| {
                    tally.show(&title, report.step, Some(report.steps));
                    Flow::Continue
                })
            };
            let tuned = train("fine-tuning", Start::Pretrained(trained))?;
            (epochs, steps, seconds) = (tuned.epochs, tuned.steps, tuned.train_seconds);
            pretrained.push(tuned.top1);
            let fresh = train("from scratch", Start::Scratch)?;
            scratch.push(fresh.top1);
            if budget.is_none() {
                supervised = Some(fresh);
            }
        }
        let means = mean_and_deviation(&pretrained).zip(mean_and_deviation(&scratch));
        if let Some((pretrained, from_scratch)) = means {
            let labels = name.to_owned();
            rows.push(FinetuneRow {
                labels,
                images,
                pretrained,
                from_scratch,
                epochs,
                steps,
                seconds,
            });
        }
    }
    tally.finish();
    let supervised = supervised.ok_or_else(|| anyhow::anyhow!("nothing was trained"))?;
    let representation = Representation {
        classified: Some(supervised.correct),
        ..of_encoder(setting, "supervised encoder", supervised.encoder)?
    };
    Ok((rows, representation))
}
