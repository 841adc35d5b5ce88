//! A study as Markdown, for a repository: charts are files beside it.

use std::fmt::Write;

use crate::{Chart, Study, Table};

impl Study {
    /// The study as a Markdown document. It shows charts by their [`Chart::file_name`]. The caller
    /// writes these files beside it from [`Chart::to_svg`].
    pub fn to_markdown(&self) -> String {
        let mut out = format!("# {}\n", line(&self.title));
        if !self.command.is_empty() {
            // The fence has more backticks than any run of them in the command.
            let fence = "`".repeat(longest_run(&self.command, '`').max(2) + 1);
            let _ = write!(out, "\n{fence}sh\n{}\n{fence}\n", self.command);
        }
        for text in &self.lead {
            let _ = write!(out, "\n{}\n", line(text));
        }
        if !self.claims.is_empty() {
            out.push_str("\n## Claims\n");
            if !self.legend.is_empty() {
                let _ = write!(out, "\n{}\n", line(&self.legend));
            }
            out.push_str("\n| What is said | Here | Figures |\n| --- | --- | --- |\n");
            for claim in &self.claims {
                let (text, word) = (cell(&claim.text), claim.outcome.word());
                let _ = writeln!(out, "| {text} | {word} | {} |", cell(&claim.evidence));
            }
        }
        for table in &self.tables {
            out.push_str(&table_text(table));
        }
        if !self.charts.is_empty() {
            out.push_str("\n## Curves\n");
        }
        for chart in &self.charts {
            let _ = write!(out, "\n![{}]({})\n", line(&chart.title), chart.file_name());
            if !chart.caption.is_empty() {
                let _ = write!(out, "\n{}\n", line(&chart.caption));
            }
        }
        if !self.machine.is_empty() {
            out.push_str("\n## Machine\n\n");
            for (name, value) in &self.machine {
                let _ = writeln!(out, "- {}: {}", line(name), line(value));
            }
        }
        out
    }
}

fn table_text(table: &Table) -> String {
    let width = table.rows.iter().map(Vec::len).chain([table.header.len()]).max().unwrap_or(0);
    if width == 0 {
        return String::new();
    }
    let mut out = format!("\n## {}\n", line(&table.title));
    if !table.caption.is_empty() {
        let _ = write!(out, "\n{}\n", line(&table.caption));
    }
    let row = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.collect();
        format!("| {} |\n", cells.join(" | "))
    };
    out.push('\n');
    out += &row(&mut (0..width).map(|i| cell(table.header.get(i).map_or("", String::as_str))));
    out += &row(&mut (0..width).map(|i| if i == 0 { "---".into() } else { "--:".into() }));
    for cells in &table.rows {
        out += &row(&mut (0..width).map(|i| match cells.get(i) {
            Some(found) if found.strong && !found.text.is_empty() => {
                format!("**{}**", cell(&found.text))
            }
            Some(found) => cell(&found.text),
            None => String::new(),
        }));
    }
    out
}

/// The text on one line, with all marks of Markdown and HTML escaped.
fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // An ampersand stays unless HTML would read a character there.
            '&' if rest.peek().is_some_and(|c| c.is_ascii_alphanumeric() || *c == '#') => {
                out.push_str("&amp;");
            }
            c if c.is_whitespace() || c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.trim().to_owned()
}

/// [`line`] for a table, where an upright stroke ends a cell.
fn cell(text: &str) -> String {
    line(text).replace('|', "\\|")
}

fn longest_run(text: &str, wanted: char) -> usize {
    text.split(|c| c != wanted).map(str::len).max().unwrap_or(0)
}

impl Chart {
    /// The name of the chart's file: its title in lower case, words joined by hyphens, and `.svg`.
    pub fn file_name(&self) -> String {
        let words = self.title.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<String> =
            words.filter(|w| !w.is_empty()).map(str::to_ascii_lowercase).collect();
        match words.is_empty() {
            true => "chart.svg".into(),
            false => format!("{}.svg", words.join("-")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Cell, Claim, ClaimOutcome};

    #[test]
    fn a_study_reads_as_it_should() {
        let study = Study {
            title: "A | B".into(),
            command: "cargo xtask compare a b".into(),
            lead: vec!["Choose *A*.".into()],
            claims: vec![Claim {
                text: "A costs more".into(),
                outcome: ClaimOutcome::NotSeen,
                evidence: "0.9 times | 1".into(),
            }],
            legend: "Seen: shown by *these* runs.".into(),
            tables: vec![Table {
                title: "Figures".into(),
                header: vec![String::new(), "k-NN".into()],
                rows: vec![
                    vec!["A".into(), Cell { text: "80.1".into(), strong: true, ..Cell::default() }],
                    vec!["B".into()],
                ],
                ..Table::default()
            }],
            charts: vec![Chart { title: "k-NN against time".into(), ..Chart::default() }],
            ..Study::default()
        };
        let text = study.to_markdown();
        for part in [
            "# A | B\n",
            "```sh\ncargo xtask compare a b\n```",
            "Choose \\*A\\*.",
            "## Claims\n\nSeen: shown by \\*these\\* runs.\n\n| What is said |",
            "| A costs more | not seen | 0.9 times \\| 1 |",
            "|  | k-NN |\n| --- | --: |\n| A | **80.1** |\n| B |  |\n",
            "![k-NN against time](k-nn-against-time.svg)",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    proptest! {
        /// Whatever its cells hold, every row of a table has as many as the header.
        #[test]
        fn rows_keep_their_columns(cells in proptest::collection::vec(".{0,12}", 6)) {
            let mut texts = cells.iter();
            let mut two = || -> Vec<Cell> { texts.by_ref().take(2).map(|t| Cell::from(t.as_str())).collect() };
            let rows = vec![two(), two()];
            let header = cells[4..].to_vec();
            let text = table_text(&Table { title: "t".into(), header, rows, ..Table::default() });
            let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
            prop_assert_eq!(lines.len(), 4, "{}", text);
            for line in lines {
                // A backslash before a stroke always comes from `cell`: those of the text are
                // doubled.
                let mut bars = 0;
                let mut escaped = false;
                for c in line.chars() {
                    bars += usize::from(c == '|' && !escaped);
                    escaped = c == '\\' && !escaped;
                }
                prop_assert_eq!(bars, 3, "{}", line);
            }
        }

        #[test]
        fn a_command_does_not_leave_its_block(command in "[`a ]{0,12}") {
            let study = Study { command: command.clone(), lead: vec!["end".into()], ..Study::default() };
            let text = study.to_markdown();
            if !command.is_empty() {
                let fence = text.lines().find(|l| l.ends_with("sh")).unwrap().trim_end_matches("sh").to_owned();
                prop_assert!(!command.contains(&fence));
                prop_assert_eq!(text.lines().filter(|l| **l == fence).count(), 1);
            }
        }
    }
}
