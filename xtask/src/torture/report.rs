//! The report of a campaign.

use std::time::Duration;

use super::victim::victims;
use selfsame::workshop::describe;

/// How a disturbed run ended.
pub enum Outcome {
    Same,
    /// It ended differently; the text says how.
    Different(String),
    /// It could not go on; the text says why.
    Lost(String),
}

/// One way to disturb a run.
pub struct Row {
    pub name: &'static str,
    pub times: usize,
    /// How often a checkpoint was half written, a write failed, a file was damaged.
    pub hits: usize,
    runs: usize,
    different: Vec<String>,
    lost: Vec<String>,
}

impl Row {
    pub fn new(name: &'static str) -> Self {
        Self { name, times: 0, hits: 0, runs: 0, different: Vec::new(), lost: Vec::new() }
    }

    pub fn ended(&mut self, outcome: Outcome) {
        self.runs += 1;
        match outcome {
            Outcome::Same => {}
            Outcome::Different(what) => self.different.push(what),
            Outcome::Lost(why) => self.lost.push(why),
        }
    }
}

/// The whole report.
pub struct Campaign {
    pub rows: Vec<Row>,
    pub seed: u64,
    pub took: Duration,
}

impl Campaign {
    /// Number of runs that were lost or ended differently.
    pub fn bad(&self) -> usize {
        self.complaints().count()
    }

    pub fn complaints(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().flat_map(|row| row.lost.iter().chain(&row.different)).map(String::as_str)
    }

    pub fn to_markdown(&self) -> String {
        let mut out = String::from(
            "| what happens to a run | times | hits | runs | lost | ended differently |\n| --- | \
             --: | --: | --: | --: | --: |\n",
        );
        let mut total = [0; 5];
        for row in &self.rows {
            let numbers = [row.times, row.hits, row.runs, row.lost.len(), row.different.len()];
            out += &line(row.name, numbers);
            total.iter_mut().zip(numbers).for_each(|(sum, n)| *sum += n);
        }
        out += &line("**all**", total);
        let victims: Vec<String> = victims().iter().map(|victim| victim.name()).collect();
        out += &format!(
            "\nA hit: the kill left a file half written, a write failed, or a file was damaged. Victims in turn: \
             {}. Each resumes on one or two threads. Seed {}, {:.0} s on {}.\n",
            victims.join("; "),
            self.seed,
            self.took.as_secs_f64(),
            machine(),
        );
        out
    }
}

fn machine() -> String {
    let known = describe(None).into_iter();
    let told =
        known.filter(|(name, _)| ["Processor", "Logical cores", "System"].contains(&&**name));
    told.map(|(name, value)| format!("{}: {value}", name.to_lowercase()))
        .collect::<Vec<_>>()
        .join(", ")
}

fn line(name: &str, numbers: [usize; 5]) -> String {
    let cells: Vec<String> = numbers.iter().map(usize::to_string).collect();
    format!("| {name} | {} |\n", cells.join(" | "))
}
