//! Training of the whole network on labels.

use std::sync::Arc;

use selfsame_data::{ImageDataset, Labels, Subset};
use selfsame_eval::mean_and_deviation;
use selfsame_models::ResNet;
use selfsame_trainers::Flow;

use super::Setting;
use super::outcome::FinetuneRow;
use super::phases::Phases;
use super::probes::share;
use super::representation::Splits;
use crate::evaluation::finetune::{Finetune, FinetuneResult, FinetuneSettings, Start};

/// The number of labels. Few labels are drawn once for each seed. All labels are trained on once.
const BUDGETS: [(&str, Option<Labels>); 3] =
    [("1 %", Some(Labels::Share(0.01))), ("10 %", Some(Labels::Share(0.1))), ("all", None)];

/// The training images of one budget, by seed.
struct Budget {
    labels: String,
    drawn: Vec<Arc<dyn ImageDataset>>,
}

/// An encoder trained only on labels.
pub struct Supervised {
    pub encoder: ResNet,
    /// For each labelled test image, whether the classifier is right.
    pub correct: Vec<bool>,
}

/// Compares fine-tuning with training from initial weights. With the most labels, the latter gives
/// the supervised encoder.
pub fn rows(
    setting: &Setting<'_>,
    splits: &Splits<'_>,
    trained: &ResNet,
    phases: &mut Phases,
) -> anyhow::Result<(Vec<FinetuneRow>, Supervised)> {
    let budgets = budgets(splits.train.all.shared(), setting.bounds.finetuned, setting.seeds)?;
    let settings = FinetuneSettings::default();
    let steps = |images: &Arc<dyn ImageDataset>| 2 * settings.steps(images.len()) as usize;
    let total = budgets.iter().flat_map(|budget| &budget.drawn).map(steps).sum();
    phases.begin("training the encoder on labels, pretrained and from scratch", total);
    let mut rows = Vec::new();
    let mut supervised = None;
    for Budget { labels, drawn } in budgets {
        let (mut images, mut epochs, mut steps, mut seconds) = (0, 0, 0, 0.0);
        let (mut pretrained, mut scratch) = (Vec::new(), Vec::new());
        for (seed, train) in drawn.into_iter().enumerate() {
            images = train.len();
            let task = Finetune {
                config: setting.config,
                train,
                test: splits.test.table.clone(),
                settings: settings.clone(),
                device: setting.device,
            };
            let mut train = |start: Start<'_>| -> anyhow::Result<FinetuneResult> {
                task.run(start, seed as u64, &mut |_| {
                    phases.advance(1);
                    Flow::Continue
                })
            };
            let tuned = train(Start::Pretrained(trained))?;
            (epochs, steps, seconds) = (tuned.epochs, tuned.steps, tuned.train_seconds);
            pretrained.push((tuned.top1, tuned.correct));
            let FinetuneResult { encoder, correct, top1, .. } = train(Start::Scratch)?;
            scratch.push((top1, correct.clone()));
            supervised = Some(Supervised { encoder, correct });
        }
        let top1 = |all: &[(f64, Vec<bool>)]| {
            mean_and_deviation(&all.iter().map(|(top1, _)| *top1).collect::<Vec<_>>())
        };
        let single = |all: &[(f64, Vec<bool>)]| match all {
            [(_, only)] => share(only).map(Some),
            _ => Ok(None),
        };
        if let Some((mean, from_scratch)) = top1(&pretrained).zip(top1(&scratch)) {
            rows.push(FinetuneRow {
                labels,
                images,
                test_images: scratch.first().map_or(0, |(_, correct)| correct.len()),
                pretrained: mean,
                from_scratch,
                pretrained_interval: single(&pretrained)?,
                from_scratch_interval: single(&scratch)?,
                epochs,
                steps,
                seconds,
            });
        }
    }
    let supervised = supervised.ok_or_else(|| anyhow::anyhow!("nothing was trained"))?;
    Ok((rows, supervised))
}

/// The budgets. The last one has at most `most` labels.
fn budgets(all: Arc<dyn ImageDataset>, most: usize, seeds: u64) -> anyhow::Result<Vec<Budget>> {
    let mut budgets = Vec::new();
    for (name, labels) in BUDGETS {
        let draw = |seed| -> anyhow::Result<Arc<dyn ImageDataset>> {
            Ok(match labels {
                Some(labels) => Arc::new(Subset::labelled(all.clone(), labels, seed)?),
                None => all.clone(),
            })
        };
        if draw(0)?.len() > most {
            let some = Subset::first(all.clone(), most);
            let percent = 100.0 * most as f64 / all.len() as f64;
            budgets.push(Budget { labels: format!("{percent:.1} %"), drawn: vec![Arc::new(some)] });
            break;
        }
        let seeds = if labels.is_some() { seeds } else { 1 };
        let drawn = (0..seeds).map(draw).collect::<anyhow::Result<_>>()?;
        budgets.push(Budget { labels: name.to_owned(), drawn });
    }
    Ok(budgets)
}

#[cfg(test)]
mod tests {
    use selfsame_data::ShapesDataset;

    use super::*;

    #[test]
    fn the_largest_budget_is_bounded_and_says_which_share_it_is() {
        let all: Arc<dyn ImageDataset> = Arc::new(ShapesDataset::new(0, 0, 400));
        let of = |most| -> Vec<(String, Vec<usize>)> {
            let budgets = budgets(all.clone(), most, 2).unwrap();
            let sizes = |b: &Budget| b.drawn.iter().map(|images| images.len()).collect();
            budgets.iter().map(|b| (b.labels.clone(), sizes(b))).collect()
        };
        let whole = of(400);
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[2], ("all".to_owned(), vec![400]));
        let bounded = of(100);
        assert_eq!(bounded.len(), 3);
        assert_eq!((&bounded[1].0, bounded[1].1.len()), (&"10 %".to_owned(), 2));
        assert_eq!(bounded[2], ("25.0 %".to_owned(), vec![100]));
        assert_eq!(of(30).len(), 2, "ten per cent are more than that already");
    }
}
