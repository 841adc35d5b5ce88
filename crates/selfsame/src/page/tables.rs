//! Figures, tables and the verdict of a report.

use selfsame_eval::{Diagnosis, Level};
use selfsame_report::{Better, Figure, Finding, Rank, RunReport, Verdict};

use super::accuracy::{Accuracy, span};
use crate::evaluation::Outcome;
use crate::folder::summary::Summary;
use crate::words::{count, percent};

/// The doctor's diagnosis for a page.
pub fn verdict(diagnosis: &Diagnosis) -> Verdict {
    let level = |level: Level| match level {
        Level::Healthy => selfsame_report::Level::Healthy,
        Level::Unknown => selfsame_report::Level::Unknown,
        Level::Warning => selfsame_report::Level::Warning,
        Level::Collapsed => selfsame_report::Level::Collapsed,
    };
    let findings = diagnosis.findings.iter().filter_map(|finding| {
        let level = level(finding.level);
        if !diagnosis.headline.to_lowercase().contains(&finding.text.to_lowercase()) {
            let (text, advice) = (sentence(&finding.text), finding.advice.clone());
            return Some(Finding { level, text, advice });
        }
        // The headline has the finding. Only the advice is left.
        let advice = finding.advice.as_ref()?;
        Some(Finding { level, text: format!("To try: {advice}"), advice: None })
    });
    Verdict {
        level: level(diagnosis.level),
        headline: sentence(&diagnosis.headline),
        findings: findings.collect(),
    }
}

/// Starts with a capital letter. On a terminal it follows a colon, on a page it stands alone.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// The main figures.
pub fn figures(summary: &Summary, accuracy: &Accuracy) -> Vec<Figure> {
    let images = accuracy.images;
    let sure = |top1: f64| format!("95 %: {}, n = {images}", span(top1, images));
    let beside = |name: &str, top1: Option<f64>| {
        top1.map(|v| format!("; {name} {} ({})", unbroken(v), span(v, images))).unwrap_or_default()
    };
    let rank = |number: f64| Some(Rank { number, better: Better::Higher });
    let plain = |name: &str, value: String, note: String, rank: Option<Rank>| Figure {
        name: name.into(),
        value,
        note,
        rank,
    };
    let mut figures = Vec::new();
    if let Some(knn) = summary.knn_top1 {
        let note = sure(knn)
            + &beside("untrained", summary.knn_top1_random_init)
            + &beside("raw pixels", summary.knn_top1_pixels);
        figures.push(plain("k-NN top-1", percent(knn), note, rank(knn)));
    }
    if let Some(linear) = summary.linear_top1 {
        let note = sure(linear)
            + &beside("untrained", accuracy.linear_untrained)
            + &beside("raw pixels", accuracy.linear_pixels);
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
        let note = "at the most, before this page".into();
        figures.push(plain("Memory", format!("{} MiB", bytes >> 20), note, None));
    }
    figures
}

/// Like [`percent`], on one line.
fn unbroken(share: f64) -> String {
    percent(share).replace(' ', "\u{a0}")
}

/// Puts the tables of an evaluation into a report. They replace those of an earlier evaluation.
pub fn add_evaluation(report: &mut RunReport, outcome: &Outcome) {
    let tables = outcome.tables();
    report.tables.retain(|old| !tables.iter().any(|new| new.title == old.title));
    report.tables.splice(0..0, tables);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The headline stands above the findings. They do not repeat it.
    #[test]
    fn the_page_says_the_verdict_once() {
        let found = |text: &str, advice: Option<&str>| json!({"level": "warning", "text": text, "advice": advice, "measure": "m", "value": 0.5, "bound": "at-least", "threshold": 1.0});
        let diagnosis: Diagnosis = serde_json::from_value(json!({
            "level": "warning",
            "headline": "not collapsed, but not better than untrained",
            "findings": [
                found("not better than untrained", Some("train longer")),
                found("not collapsed", None),
                found("12 of 64 directions used", Some("lower the learning rate")),
            ],
        }))
        .unwrap();
        let page = verdict(&diagnosis);
        let texts: Vec<&str> = page.findings.iter().map(|f| f.text.as_str()).collect();
        assert_eq!(texts, ["To try: train longer", "12 of 64 directions used"]);
        assert_eq!(page.findings[1].advice.as_deref(), Some("lower the learning rate"));
    }
}
