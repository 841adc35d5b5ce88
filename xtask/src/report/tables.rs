//! Figures, tables and the verdict of a report.

use selfsame_eval::{Diagnosis, Level};
use selfsame_report::{Better, Cell, Figure, Finding, Rank, RunReport, Table, Verdict};

use crate::eval::Outcome;
use crate::invariance::AugmentationRow;
use crate::pretrain::Summary;
use crate::words::count;

/// The doctor's diagnosis as a page shows it.
pub fn verdict(diagnosis: &Diagnosis) -> Verdict {
    let level = |level: Level| match level {
        Level::Healthy => selfsame_report::Level::Healthy,
        Level::Unknown => selfsame_report::Level::Unknown,
        Level::Warning => selfsame_report::Level::Warning,
        Level::Collapsed => selfsame_report::Level::Collapsed,
    };
    let findings = diagnosis.findings.iter().map(|finding| Finding {
        level: level(finding.level),
        text: sentence(&finding.text),
        advice: finding.advice.clone(),
    });
    Verdict {
        level: level(diagnosis.level),
        headline: sentence(&diagnosis.headline),
        findings: findings.collect(),
    }
}

/// With a capital letter: on a terminal it follows a colon, on a page it stands alone.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// What people look for first.
pub fn figures(summary: &Summary) -> Vec<Figure> {
    let rank = |number: f64| Some(Rank { number, better: Better::Higher });
    let plain = |name: &str, value: String, note: String, rank: Option<Rank>| Figure {
        name: name.into(),
        value,
        note,
        rank,
    };
    let mut figures = Vec::new();
    if let Some(knn) = summary.knn_top1 {
        let note = match (summary.knn_top1_random_init, summary.knn_top1_pixels) {
            (Some(random), Some(pixels)) => {
                format!("untrained {}, raw pixels {}", percent(random), percent(pixels))
            }
            _ => String::new(),
        };
        figures.push(plain("k-NN top-1", percent(knn), note, rank(knn)));
    }
    if let Some(linear) = summary.linear_top1 {
        let note = "of frozen features".into();
        figures.push(plain("Linear probe top-1", percent(linear), note, rank(linear)));
    }
    let (std, share) = (summary.feature_std, summary.effective_rank_share);
    figures.extend([
        plain(
            "Effective rank",
            format!("{:.1}", summary.effective_rank),
            format!("{:.0} % of what is possible", 100.0 * share),
            rank(summary.effective_rank),
        ),
        plain("Spread", format!("{std:.2}"), "0 collapsed, 1 even".into(), rank(std)),
        plain("Loss", format!("{:.4}", summary.final_loss), "mean of the last epoch".into(), None),
        plain(
            "Training",
            format!("{:.0} s", summary.train_seconds),
            format!("{}, {:.0} images/s", count(summary.steps, "step"), summary.images_per_second),
            Some(Rank { number: summary.train_seconds, better: Better::Lower }),
        ),
    ]);
    if let Some(bytes) = summary.peak_rss_bytes {
        let note = "at the most".into();
        figures.push(plain("Memory", format!("{} MiB", bytes >> 20), note, None));
    }
    figures
}

/// `0.7945` → `79.45 %`
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

const AUGMENTATIONS: &str = "Invariance to each augmentation";

/// How far each augmentation alone moves an image.
pub fn augmentation_table(rows: &[AugmentationRow]) -> Table {
    let cell = |ratio: Option<f64>| Cell::from(ratio.map_or("–".into(), |r| format!("{r:.3}")));
    Table {
        title: AUGMENTATIONS.into(),
        caption: "Distance between an image and itself under that augmentation alone, over the distance between \
                  different images: 0 is invariant, 1 is as far away as another image."
            .into(),
        header: ["augmentation", "raw pixels", "untrained", "trained"].map(str::to_owned).into(),
        rows: rows
            .iter()
            .map(|row| {
                vec![
                    row.augmentation.into(),
                    cell(row.pixels),
                    cell(row.untrained),
                    Cell { strong: row.trained < row.untrained, ..cell(row.trained) },
                ]
            })
            .collect(),
    }
}

/// Puts an evaluation's tables into a report, in place of those of an earlier one.
pub fn add_evaluation(report: &mut RunReport, outcome: &Outcome) {
    let tables = outcome.tables();
    report.tables.retain(|old| !tables.iter().any(|new| new.title == old.title));
    report.tables.splice(0..0, tables);
}
