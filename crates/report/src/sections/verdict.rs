//! The answer first: the verdict and the key figures.

use std::fmt::Write;

use crate::html::{escape, paragraph};
use crate::{Figure, Level, Verdict};

/// A question mark in a ring.
pub const ASK: &str = "<circle class=\"hollow\" cx=\"10\" cy=\"10\" r=\"8.2\"/><path class=\"ask\" \
     d=\"M7.4 8a2.6 2.6 0 1 1 3.6 2.4c-.7.3-1 .8-1 1.6m0 2.6v.1\"/>";

/// How many figures are shown large.
const LARGE: usize = 4;

impl Level {
    fn class(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Collapsed => "collapsed",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Healthy => "No collapse",
            Self::Unknown => "Undecided",
            Self::Warning => "Warning",
            Self::Collapsed => "Collapsed",
        }
    }

    /// The name of a finding's sign. "No collapse" is a verdict on a whole run only.
    fn of_finding(self) -> &'static str {
        match self {
            Self::Healthy => "As it should be",
            other => other.word(),
        }
    }

    /// A sign whose shape says as much as its colour.
    fn sign(self) -> &'static str {
        match self {
            Self::Healthy => {
                "<circle cx=\"10\" cy=\"10\" r=\"9\"/><path d=\"M5.8 10.4l2.9 2.9 5.6-6.2\"/>"
            }
            Self::Unknown => ASK,
            Self::Warning => {
                "<path class=\"fill\" d=\"M10 1.6L19.2 18H.8z\"/><path d=\"M10 7.6v4.6m0 2.6v.1\"/>"
            }
            Self::Collapsed => {
                "<rect x=\"1\" y=\"1\" width=\"18\" height=\"18\" rx=\"3\"/><path d=\"M6 6l8 8m0-8l-8 8\"/>"
            }
        }
    }
}

fn sign(level: Level, word: &str) -> String {
    format!(
        "<svg class=\"sign {}\" viewBox=\"0 0 20 20\" role=\"img\" aria-label=\"{word}\">{}</svg>",
        level.class(),
        level.sign()
    )
}

/// A headline is a statement, a colon and figures. The statement stands out.
fn headline(verdict: &Verdict) -> String {
    match verdict.headline.split_once(": ") {
        Some((lead, figures)) => format!("<b>{}:</b> {}", escape(lead), escape(figures)),
        None => format!("<b>{}.</b> {}", verdict.level.word(), escape(&verdict.headline)),
    }
}

/// The verdict with all it rests on.
pub fn verdict(verdict: &Verdict) -> String {
    let mut html = format!(
        "<div class=\"verdict {}\"><p class=\"headline\">{}{}</p>",
        verdict.level.class(),
        sign(verdict.level, verdict.level.word()),
        headline(verdict)
    );
    if !verdict.findings.is_empty() {
        html.push_str("<ul>");
        for finding in &verdict.findings {
            let advice = paragraph("advice", finding.advice.as_deref().unwrap_or(""));
            let _ = write!(
                html,
                "<li>{}<div><p>{}</p>{advice}</div></li>",
                sign(finding.level, finding.level.of_finding()),
                escape(&finding.text)
            );
        }
        html.push_str("</ul>");
    }
    html.push_str("</div>");
    html
}

/// The sign and the word, for a table.
pub fn short(verdict: Option<&Verdict>) -> String {
    verdict.map_or("–".into(), |v| {
        format!(
            "<span class=\"level {}\">{}{}</span>",
            v.level.class(),
            sign(v.level, v.level.word()),
            v.level.word()
        )
    })
}

/// Key figures: the first ones large, the others as a list.
pub fn figures(figures: &[Figure]) -> String {
    if figures.is_empty() {
        return String::new();
    }
    let (large, others) = figures.split_at(figures.len().min(LARGE));
    format!(
        "{}{}",
        list("figures", large),
        if others.is_empty() { String::new() } else { list("facts", others) }
    )
}

fn list(class: &str, figures: &[Figure]) -> String {
    let mut html = format!("<dl class=\"{class}\">");
    for figure in figures {
        let note = match figure.note.as_str() {
            "" => String::new(),
            note => format!("<dd class=\"note\">{}</dd>", escape(note)),
        };
        let _ = write!(
            html,
            "<div><dt>{}</dt><dd class=\"value\">{}</dd>{note}</div>",
            escape(&figure.name),
            escape(&figure.value)
        );
    }
    html.push_str("</dl>");
    html
}

/// Names and values, for the machine.
pub fn facts(pairs: &[(String, String)]) -> String {
    let figures: Vec<Figure> = pairs
        .iter()
        .map(|(name, value)| Figure {
            name: name.clone(),
            value: value.clone(),
            ..Figure::default()
        })
        .collect();
    if figures.is_empty() { String::new() } else { list("facts", &figures) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Finding;

    fn shown(level: Level, headline: &str, findings: Vec<Finding>) -> String {
        verdict(&Verdict { level, headline: headline.into(), findings })
    }

    #[test]
    fn a_headline_says_what_it_is_and_is_not_called_healthy_besides() {
        let good = shown(Level::Healthy, "No collapse: 44 of 64 directions used", Vec::new());
        assert!(good.contains("<b>No collapse:</b> 44 of 64 directions used"), "{good}");
        assert!(!good.contains("Healthy") && !good.contains("<b>No collapse.</b>"), "{good}");
        let early = shown(Level::Unknown, "Too early to judge: 1 step", Vec::new());
        assert!(early.contains("<b>Too early to judge:</b> 1 step"), "{early}");
        assert!(early.contains("aria-label=\"Undecided\"") && early.contains(ASK), "{early}");
        let plain = shown(Level::Warning, "Something <else>", Vec::new());
        assert!(plain.contains("<b>Warning.</b> Something &lt;else&gt;"), "{plain}");
    }

    #[test]
    fn advice_stands_with_its_finding() {
        let finding = |level, text: &str, advice: Option<&str>| Finding {
            level,
            text: text.into(),
            advice: advice.map(str::to_owned),
        };
        let html = shown(
            Level::Warning,
            "Worse than untrained: k-NN",
            vec![
                finding(Level::Warning, "first", Some("raise it")),
                finding(Level::Healthy, "second", None),
            ],
        );
        assert!(html.contains("<p>first</p><p class=\"advice\">raise it</p></div></li>"), "{html}");
        assert!(html.contains("aria-label=\"As it should be\""), "{html}");
        assert!(html.contains("<p>second</p></div></li>"), "{html}");
    }
}
