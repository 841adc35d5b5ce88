//! Curves of a run, from its `metrics.jsonl`.

use selfsame_eval::Spread;
use selfsame_report::{Chart, Line};
use selfsame_trainers::Term;

use super::Material;
use crate::folder::record::{EvaluationLine, Log, StepLine};
use crate::words::count;

/// The number of points in a curve of single steps.
const POINTS: usize = 400;

/// Everything that is drawn over training, and the spectra.
pub fn charts(material: &Material<'_>, log: &Log) -> Vec<Chart> {
    let summary = material.summary;
    let mut charts = vec![chart(
        "Loss",
        "Of single steps, averaged to some hundred points.",
        "loss",
        vec![line("loss", thinned(of_steps(log, |step| Some(step.loss.into()))))],
    )];
    for Term { name, title, caption } in material.config.method.terms().iter().chain(&SCHEDULES) {
        let points = thinned(of_steps(log, |step| match *name {
            LEARNING_RATE => Some(step.learning_rate),
            term => step.terms.get(term).map(|value| f64::from(*value)),
        }));
        if !points.is_empty() {
            let label = name.replace('_', " ").replace("tau", "τ");
            charts.push(chart(title, caption, &label, vec![line(&label, points)]));
        }
    }

    let mut knn = of_evaluations(log, |found| found.knn_top1);
    // The untrained encoder is where the curve begins.
    knn.splice(0..0, summary.knn_top1_random_init.map(|start| [0.0, start]));
    if !knn.is_empty() {
        let level = |name: &str, value: Option<f64>| {
            let points = value.map(|v| vec![[0.0, v], [summary.epochs, v]]);
            points.map(|points| Line::baseline(name, points))
        };
        let mut lines = vec![line("trained encoder", knn)];
        lines.extend(level("raw pixels", summary.knn_top1_pixels));
        lines.extend(level("untrained encoder", summary.knn_top1_random_init));
        let images = summary.test_images;
        let caption = format!("Top-1 on {}.", count(images, "test image"));
        charts.push(chart("k-NN accuracy", &caption, "top-1", lines));
    }

    for (title, caption, label, watched) in COLLAPSE {
        let lines: Vec<Line> = watched
            .iter()
            .map(|(of, name)| line(name, of_evaluations(log, of)))
            .filter(|line| !line.points.is_empty())
            .collect();
        if !lines.is_empty() {
            charts.push(chart(title, caption, label, lines));
        }
    }
    charts.extend(spectra(material));
    charts
}

/// What is a field of every step.
const LEARNING_RATE: &str = "learning_rate";

/// What the settings plan for each step, of any method.
const SCHEDULES: [Term; 2] = [
    Term {
        name: LEARNING_RATE,
        title: "Learning rate",
        caption: "The learning rate of each step: warm-up, then half a cosine.",
    },
    Term {
        name: "tau",
        title: "Momentum of the target network",
        caption: "After each step the target keeps τ of its weights and takes 1 − τ of the online \
                  network's.",
    },
];

/// A figure of an evaluation.
type Of = fn(&EvaluationLine) -> Option<f64>;

/// Title, caption, what is measured, and the lines.
type Watched = (&'static str, &'static str, &'static str, &'static [(Of, &'static str)]);

const COLLAPSE: [Watched; 5] = [
    (
        "Spread",
        "Standard deviation of the l2-normalised embeddings times √dim: 0 is one point, 1 is spread evenly.",
        "std × √dim",
        &[
            (|found| Some(found.feature_std), "features"),
            (|found| Some(found.doctor.projection_std), "projections"),
        ],
    ),
    (
        "Effective rank",
        "RankMe: the number of equally strong directions that would spread the embeddings as much.",
        "effective rank",
        &[
            (|found| Some(found.effective_rank), "features"),
            (|found| Some(found.doctor.projection_rank), "projections"),
            (|found| found.doctor.predictor_rank, "predictor"),
        ],
    ),
    (
        "Alignment",
        "Mean squared distance of the two views of an image on the sphere: lower is more \
         invariant, 0 for all images is collapse.",
        "alignment",
        &[(|found| Some(found.doctor.alignment), "projections")],
    ),
    (
        "Uniformity",
        "log E exp(−2 d²) over pairs of images: lower is more evenly spread, 0 is one point.",
        "uniformity",
        &[(|found| Some(found.doctor.uniformity), "projections")],
    ),
    (
        "Online and target network",
        "1 − mean cosine of their projections of the same images, and the relative distance of their weights.",
        "distance",
        &[
            (|found| found.doctor.target_projection_distance, "projections"),
            (|found| found.doctor.target_weight_distance, "weights"),
        ],
    ),
];

/// Singular values and standard deviations of the dimensions, for features and projections.
fn spectra(material: &Material<'_>) -> Vec<Chart> {
    let (examination, evaluation) = &material.doctor.untrained;
    let both = [
        ("features", &evaluation.spread, &material.evaluation.spread),
        ("projections", &examination.projections, &material.examination.projections),
    ];
    let mut charts = Vec::new();
    for (what, before, after) in both {
        let relative = |spread: &Spread| {
            let largest = spread.spectrum.first().copied().unwrap_or_default();
            let values = spread.spectrum.iter().map(|v| v / largest.max(f64::MIN_POSITIVE));
            // Rounding errors in an unused direction would stretch the axis by decades.
            values.filter(|v| *v > 1e-6).collect()
        };
        charts.push(ranked(
            &format!("Singular values of the {what}"),
            "Of the centred embeddings, largest first, over the largest. A cliff is a dimensional collapse.",
            ["direction", "relative size"],
            [relative(before), relative(after)],
        ));
    }
    let predictors = (&examination.predictor, &material.examination.predictor);
    if let (Some(before), Some(after)) = predictors {
        let kept = |values: &[f64]| values.iter().copied().filter(|v| *v > 1e-6).collect();
        charts.push(ranked(
            "Singular values of the predictor",
            "Of the nearest linear map, largest first, over the largest. Projections lose the \
             directions that it does not pass.",
            ["direction", "relative size"],
            [kept(&before.singular_values), kept(&after.singular_values)],
        ));
    }
    for (what, before, after) in both {
        let deviations = |spread: &Spread| {
            let mut std = spread.std.clone();
            std.sort_by(|a, b| b.total_cmp(a));
            std
        };
        let mut chart = ranked(
            &format!("Deviation of each dimension of the {what}"),
            "Standard deviation of the l2-normalised embedding times √dim, largest first. A dimension at 0 is dead.",
            ["dimension", "std × √dim"],
            [deviations(before), deviations(after)],
        );
        chart.log_y = false;
        charts.push(chart);
    }
    charts
}

/// Values by rank, untrained and trained.
fn ranked(title: &str, caption: &str, labels: [&str; 2], values: [Vec<f64>; 2]) -> Chart {
    let [untrained, trained] = values.map(|values| {
        values.into_iter().enumerate().map(|(i, v)| [(i + 1) as f64, v]).collect::<Vec<_>>()
    });
    let [x_label, y_label] = labels.map(str::to_owned);
    Chart {
        title: title.into(),
        caption: caption.into(),
        x_label,
        y_label,
        log_y: true,
        log_x: false,
        lines: vec![line("trained", trained), Line::baseline("untrained", untrained)],
    }
}

fn chart(title: &str, caption: &str, y_label: &str, lines: Vec<Line>) -> Chart {
    Chart {
        title: title.into(),
        caption: caption.into(),
        x_label: "epoch".into(),
        y_label: y_label.into(),
        log_y: false,
        log_x: false,
        lines,
    }
}

fn line(name: &str, points: Vec<[f64; 2]>) -> Line {
    Line::measured(name, points)
}

/// One value of each step that has it, against the epoch.
fn of_steps(log: &Log, value: impl Fn(&StepLine) -> Option<f64>) -> Vec<[f64; 2]> {
    log.steps.iter().filter_map(|step| Some([step.epoch, value(step)?])).collect()
}

/// One figure of each evaluation that has it, against the epoch.
fn of_evaluations(log: &Log, value: impl Fn(&EvaluationLine) -> Option<f64>) -> Vec<[f64; 2]> {
    log.evaluations.iter().filter_map(|found| Some([found.epoch, value(found)?])).collect()
}

/// Means of neighbouring points, so that about [`POINTS`] remain.
fn thinned(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    let size = points.len().div_ceil(POINTS).max(1);
    let mean =
        |chunk: &[[f64; 2]], i: usize| chunk.iter().map(|p| p[i]).sum::<f64>() / chunk.len() as f64;
    points.chunks(size).map(|chunk| [mean(chunk, 0), mean(chunk, 1)]).collect()
}
