//! Words in messages: counts, reasons and paths.

use std::borrow::Cow;
use std::path::Path;

use selfsame_eval::{Diagnosis, Finding, Level};

/// `1 image`, `2 images`: `noun` is the singular. The plural adds an `s`.
pub fn count(n: impl TryInto<u64>, noun: &str) -> String {
    match n.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}

/// The chain of an error, from the task to the cause. No text is repeated, although many errors
/// contain the text of their causes.
pub fn reasons(error: &anyhow::Error) -> String {
    causes(error.as_ref())
}

/// The same for any error.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said = String::new();
    let chain = std::iter::successors(Some(error), |error| error.source());
    for cause in chain.map(ToString::to_string) {
        if !said.contains(&cause) {
            said += if said.is_empty() { "" } else { ": " };
            said += &cause;
        }
    }
    said
}

/// A path on one line, without control characters.
pub fn shown(path: &Path) -> String {
    plain(&path.display().to_string()).into_owned()
}

/// A text from a file on one line, without control characters. They could change a terminal.
pub fn plain(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        false => text.into(),
        true => text
            .chars()
            .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
            .collect(),
    }
}

/// A path quoted for a shell, so that a command can be pasted.
pub fn pasted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=,:@%".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The findings besides the headline, each with advice, one per line. `indent` comes before a
/// finding, more before its advice. Healthy results are left out.
pub fn told(diagnosis: &Diagnosis, indent: &str) -> String {
    let mut out = String::new();
    for finding in diagnosis.findings.iter().filter(|f| f.level > Level::Healthy) {
        if finding.text != diagnosis.headline {
            out += &format!("{indent}{}\n", finding.text);
        }
        out += &advice(finding, indent);
    }
    out
}

/// The line with the advice for a finding, if there is any.
pub fn advice(finding: &Finding, indent: &str) -> String {
    finding.advice.as_ref().map_or(String::new(), |advice| format!("{indent}  → {advice}\n"))
}

/// `0.7945` → `79.45 %`
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn one_is_not_a_plural() {
        assert_eq!(
            (count(1u64, "epoch"), count(0usize, "file")),
            ("1 epoch".into(), "0 files".into())
        );
    }

    #[test]
    fn no_reason_is_said_twice() {
        let error = anyhow!("no such file").context("cannot read a.toml: no such file");
        assert_eq!(reasons(&error), "cannot read a.toml: no such file");
        let other: anyhow::Result<()> = Err(anyhow!("no such file"));
        assert_eq!(reasons(&other.context("a.toml").unwrap_err()), "a.toml: no such file");
    }

    #[test]
    fn what_is_shown_is_one_line() {
        assert_eq!(shown("a/é b.png".as_ref()), "a/é b.png");
        assert_eq!(shown("a\n\u{1b}[1m.png".as_ref()), "a\\n\\u{1b}[1m.png");
        assert_eq!(plain("fast\u{9b}2J\r, MIT"), "fast\\u{9b}2J\\r, MIT");
    }

    #[test]
    fn what_is_pasted_is_one_word() {
        assert_eq!(pasted("runs/byol-2".as_ref()), "runs/byol-2");
        assert_eq!(pasted("my runs/it's".as_ref()), r"'my runs/it'\''s'");
    }
}
