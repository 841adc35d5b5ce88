//! A whole evaluation, from the first image to the last figure.

use std::cell::RefCell;

use selfsame_data::Splits as Data;
use selfsame_eval::{Features, Labelled, LabelledImages, LinearFit, Spread, extract};
use selfsame_models::ResNet;

use super::outcome::{FinetuneRow, KnnScore, LinearScore, Outcome, Scores};
use super::phases::Phases;
use super::probes::{self, few_labels};
use super::representation::{Embed, Of, Representation, Split, Splits, TRAINED, UNTRAINED};
use super::robustness::{Robustness, robustness};
use super::{Options, Setting, diagnose, finetuning};
use crate::evaluation::invariance::{AUGMENTATIONS, augmentations, factors};
use crate::features::images::PlainImages;
use crate::folder::judged::Evaluation;
use crate::folder::run_name;

/// The results that need labels.
#[derive(Default)]
struct Accuracies {
    knn: Option<KnnScore>,
    linear: Option<LinearScore>,
    linear_on_all: bool,
    representations: Vec<Scores>,
    without_clusters: Option<String>,
    finetuning: Vec<FinetuneRow>,
    robustness: Robustness,
}

/// The spread of the features of held-out images.
struct Spreads {
    /// Features of the trained encoder for all images.
    whole: Spread,
    /// Features of the table's images.
    trained: Spread,
    untrained: Spread,
}

impl Accuracies {
    /// k-NN of a representation, with the run's k and T.
    fn knn_of(&self, name: &str) -> Option<f64> {
        let scores = self.representations.iter().find(|scores| scores.name == name)?;
        scores.knn.as_ref().map(|knn| knn.top1.mean)
    }
}

pub fn evaluate(
    args: &Options,
    setting: &Setting<'_>,
    data: &Data,
    transfer: bool,
    [trained, untrained]: [&ResNet; 2],
) -> anyhow::Result<Outcome> {
    let Setting { config, judge, device, bounds, .. } = setting;
    let train = Split::new(&judge.train, bounds.table.train)?;
    let test = judge.test.as_ref().map(|test| Split::new(test, bounds.table.test)).transpose()?;
    let drawn = data.name == "shapes";
    let mut phases = Phases::new(count(args.quick, drawn, &train, test.as_ref()), setting.voice);
    let (accuracies, spreads, scored, table) = match test {
        Some(test) => {
            let splits = Splits { train, test };
            let table = (splits.train.table.len(), splits.test.table.len());
            let (accuracies, spreads) =
                accuracies(args.quick, setting, &splits, [trained, untrained], &mut phases)?;
            (accuracies, spreads, splits.test.labels().iter().flatten().count(), table)
        }
        None => {
            let both = [(trained, Of::All), (untrained, Of::All)];
            let (features, _) =
                train.read(setting, "training images", &both, false, &mut phases)?;
            let [trained, untrained] = pair(features)?;
            let whole = Spread::of(&trained)?;
            let spreads =
                Spreads { trained: whole.clone(), untrained: Spread::of(&untrained)?, whole };
            (Accuracies::default(), spreads, 0, (0, 0))
        }
    };

    phases.begin("the collapse doctor", 1);
    // Both use the same images, so they can be compared.
    let judged = |name: &str, spread: Spread| Evaluation {
        knn_top1: accuracies.knn_of(name),
        linear_top1: None,
        scored,
        spread,
    };
    let Spreads { whole: spread, trained: after, untrained: before } = spreads;
    let (after, before) = (judged(TRAINED, after), judged(UNTRAINED, before));
    let diagnosis = diagnose(args, config, data, &after, &before, device, setting.voice)?;
    phases.advance(1);

    let judged = data.test.as_ref().unwrap_or(&data.train);
    let some = PlainImages::some(judged, bounds.augmented, config)?;
    phases.begin("invariance", 1 + AUGMENTATIONS.len());
    let phases = RefCell::new(phases);
    let both = |images: &dyn LabelledImages| {
        let of = |encoder| extract(encoder, images, config.eval.batch_size, device);
        let features = [of(untrained)?, of(trained)?];
        phases.borrow_mut().advance(1);
        Ok(features)
    };
    let augmentations = augmentations(config, &some, &both)?;
    let factors = if drawn {
        phases.borrow_mut().begin("factors of shapes", 2);
        factors(config, &both)?
    } else {
        Vec::new()
    };
    phases.borrow_mut().finish();

    Ok(Outcome {
        run: run_name(&args.run),
        dataset: data.name.clone(),
        transfer,
        train_images: judge.train.len(),
        test_images: judge.test.as_ref().map_or(0, LabelledImages::len),
        set_train_images: data.train.len(),
        set_test_images: data.test.as_ref().map_or(0, |test| test.len()),
        table_train_images: table.0,
        table_test_images: table.1,
        pixel_side: bounds.pixel_side,
        linear_on_all: accuracies.linear_on_all,
        skipped_images: data.skipped.len(),
        untested: data.untested().map(|cause| cause.to_string()),
        seeds: setting.seeds,
        knn_top1: accuracies.knn.as_ref().map(|knn| knn.top1.mean),
        knn_top1_random_init: before.knn_top1,
        knn_top1_pixels: accuracies.knn_of("raw pixels"),
        linear_top1: accuracies.linear.as_ref().map(|linear| linear.top1.mean),
        knn: accuracies.knn,
        linear: accuracies.linear,
        feature_std: spread.mean_std,
        effective_rank: spread.effective_rank,
        effective_rank_share: spread.effective_rank_share(),
        diagnosis,
        representations: accuracies.representations,
        without_clusters: accuracies.without_clusters,
        finetuning: accuracies.finetuning,
        corruptions: accuracies.robustness.rows,
        corrupted: accuracies.robustness.means,
        corrupted_images: accuracies.robustness.images,
        augmentations,
        augmented_images: some.len(),
        factors,
    })
}

/// The number of phases.
fn count(quick: bool, drawn: bool, train: &Split<'_>, test: Option<&Split<'_>>) -> usize {
    // Training images, the doctor, invariance.
    let mut phases = 3 + usize::from(drawn);
    let Some(test) = test else { return phases };
    // Test images, principal components, and probes of four representations.
    phases += 6;
    if !(train.is_whole() && test.is_whole()) {
        phases += 1;
    }
    if !quick {
        // Corruptions; training on labels, and for the result: features on both splits and probes.
        phases += 1 + if train.classes() >= 2 { 4 } else { 0 };
    }
    phases
}

/// All comparisons with labels, and the spread of the features of the test images.
fn accuracies(
    quick: bool,
    setting: &Setting<'_>,
    splits: &Splits<'_>,
    [trained, untrained]: [&ResNet; 2],
    phases: &mut Phases,
) -> anyhow::Result<(Accuracies, Spreads)> {
    let mut found = Accuracies::default();
    let both = [(trained, Of::All), (untrained, Of::Table)];
    let (train, pixels) = splits.train.read(setting, "training images", &both, true, phases)?;
    let (test, test_pixels) = splits.test.read(setting, "test images", &both, true, phases)?;
    let ([train, train_untrained], [test, test_untrained]) = (pair(train)?, pair(test)?);
    let spreads = Spreads {
        whole: Spread::of(&test)?,
        trained: Spread::of(&splits.test.of_table(&test))?,
        untrained: Spread::of(&test_untrained)?,
    };

    let whole = splits.train.is_whole() && splits.test.is_whole();
    found.linear_on_all = whole || !quick;
    if !whole {
        let train = Labelled::new(&train, &splits.train.all.labels())?;
        let test = Labelled::new(&test, &splits.test.all.labels())?;
        let fits = if quick { 0 } else { setting.config.eval.linear().most_fits() };
        phases.begin("the trained encoder on all images", 1 + fits);
        found.knn = Some(probes::of_knn(setting.config.eval.knn(), &train, &test)?);
        phases.advance(1);
        if !quick {
            found.linear = Some(probes::linear(setting, &train, &test, phases)?.0);
        }
    }

    let few = few_labels(setting, splits)?;
    let mut subjects = Vec::new();
    let mut fitted: Vec<LinearFit> = Vec::new();
    let mut probe = |subject: Representation, phases: &mut Phases| -> anyhow::Result<()> {
        let (scores, fit) = probes::scores(setting, &subject, &few, phases)?;
        found.representations.push(scores);
        fitted.push(fit);
        subjects.push(subject);
        Ok(())
    };
    let of_trained = [splits.train.of_table(&train), splits.test.of_table(&test)];
    let encoder = Embed::Encoder(Box::new(trained.clone()));
    probe(splits.represented(TRAINED, of_trained, encoder)?, phases)?;
    let of_untrained = [train_untrained, test_untrained];
    let encoder = Embed::Encoder(Box::new(untrained.clone()));
    probe(splits.represented(UNTRAINED, of_untrained, encoder)?, phases)?;
    for subject in splits.of_pixels([pixels, test_pixels], setting.bounds.components, phases)? {
        probe(subject, phases)?;
    }
    // One class is not enough for a classifier.
    if !quick && splits.train.classes() >= 2 {
        let (rows, supervised) = finetuning::rows(setting, splits, trained, phases)?;
        let encoder = [(&supervised.encoder, Of::Table)];
        let name = "supervised encoder";
        let what = ["training", "test"].map(|split| format!("{split} images, {name}"));
        let (train, _) = splits.train.read(setting, &what[0], &encoder, false, phases)?;
        let (test, _) = splits.test.read(setting, &what[1], &encoder, false, phases)?;
        let features = [one(train)?, one(test)?];
        let subject =
            splits.represented(name, features, Embed::Encoder(Box::new(supervised.encoder)))?;
        probe(Representation { classified: Some(supervised.correct), ..subject }, phases)?;
        found.finetuning = rows;
    }
    if let Some((subject, scores)) = subjects.first().zip(found.representations.first()) {
        found.without_clusters = probes::without_clusters(&subject.test);
        found.knn = found.knn.or_else(|| scores.knn.clone());
        found.linear = found.linear.or_else(|| scores.linear.clone());
    }
    if !quick {
        found.robustness = robustness(setting, splits.test.all, &subjects, &fitted, phases)?;
    }
    Ok((found, spreads))
}

fn one(mut features: Vec<Features>) -> anyhow::Result<Features> {
    features.pop().ok_or_else(|| anyhow::anyhow!("an encoder has no features"))
}

fn pair(features: Vec<Features>) -> anyhow::Result<[Features; 2]> {
    features.try_into().map_err(|_| anyhow::anyhow!("an encoder has no features"))
}
