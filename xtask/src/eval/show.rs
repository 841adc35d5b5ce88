//! An evaluation as text, and as tables of a report.

use selfsame_eval::{Interval, MeanDeviation};
use selfsame_report::{Cell, Table};

use super::outcome::{Outcome, Scores};
use crate::checkup::told;
use crate::report::{augmentation_table, percent};

impl Outcome {
    /// As tables, in the order of interest.
    pub fn tables(&self) -> Vec<Table> {
        let on = if self.transfer { format!(" on {}", self.dataset) } else { String::new() };
        let mut tables = Vec::new();
        if !self.representations.is_empty() {
            tables.push(self.representation_table(&on));
            tables.push(self.few_label_table(&on));
        }
        if !self.finetuning.is_empty() {
            tables.push(self.finetuning_table(&on));
        }
        if !self.corruptions.is_empty() {
            tables.push(self.corruption_table(&on));
        }
        let mut augmentations = augmentation_table(&self.augmentations);
        augmentations.title += &on;
        tables.push(augmentations);
        if !self.factors.is_empty() {
            tables.push(self.factor_table());
        }
        tables.retain(|table| !table.rows.is_empty());
        tables
    }

    fn representation_table(&self, on: &str) -> Table {
        let rows = self.representations.iter().map(|scores| {
            let Scores { name, dim, knn, knn_chosen, linear, clusters, .. } = scores;
            let chosen = knn_chosen.as_ref().map(|knn| {
                let k = format!("k {}, T {}", knn.k, knn.temperature);
                (knn.top1, k)
            });
            let linear = linear.as_ref().map(|linear| (linear.top1, format!("C {}", linear.c)));
            vec![
                Cell::from(*name),
                Cell::from(dim.to_string()),
                interval(knn.as_ref().map(|knn| (knn.top1, String::new()))),
                interval(chosen),
                interval(linear),
                mean(clusters.as_ref().map(|c| c.nmi), decimal),
                mean(clusters.as_ref().map(|c| c.ari), decimal),
            ]
        });
        Table {
            title: format!("Frozen features{on}"),
            caption: format!(
                "Top-1 on {} test images, from {} training images, with 95 % bootstrap intervals over the test images. \
                 k, T and C are chosen on training images. NMI and ARI compare k-means clusters with the classes, \
                 mean ± standard deviation of {} seeds.",
                self.test_images, self.train_images, self.seeds
            ),
            header: names(&[
                "representation",
                "dimensions",
                "k-NN, the run's k and T",
                "k-NN, chosen",
                "linear probe",
                "NMI",
                "ARI",
            ]),
            rows: strong(rows.collect(), &[2, 3, 4, 5, 6]),
        }
    }

    fn few_label_table(&self, on: &str) -> Table {
        let few =
            self.representations.first().map(|scores| scores.few.as_slice()).unwrap_or_default();
        let mut header = vec!["representation".to_owned()];
        header.extend(few.iter().map(|few| format!("{} ({})", few.labels, few.images)));
        let rows = self.representations.iter().map(|scores| {
            let mut row = vec![Cell::from(scores.name)];
            row.extend(scores.few.iter().map(|few| mean(Some(few.top1), percent)));
            row
        });
        let columns: Vec<usize> = (1..=few.len()).collect();
        Table {
            title: format!("Linear probe with few labels{on}"),
            caption: format!(
                "Top-1, mean ± standard deviation of {} draws of the labelled images; in brackets, how many there are. The \
                 supervised encoder has seen them all.",
                self.seeds
            ),
            header,
            rows: strong(rows.collect(), &columns),
        }
    }

    fn finetuning_table(&self, on: &str) -> Table {
        let rows = self.finetuning.iter().map(|row| {
            let better = row.pretrained.mean > row.from_scratch.mean;
            vec![
                Cell::from(format!("{} ({})", row.labels, row.images)),
                Cell { strong: better, ..mean(Some(row.pretrained), percent) },
                Cell { strong: !better, ..mean(Some(row.from_scratch), percent) },
                Cell::from(row.epochs.to_string()),
                Cell::from(row.steps.to_string()),
            ]
        });
        Table {
            title: format!("Fine-tuning{on}"),
            caption: "Top-1 of the whole network trained on labels, from the pretrained encoder and from initial weights, by one \
                      recipe; few labels are drawn anew for each seed, all of them are trained on once."
                .into(),
            header: names(&["labels", "pretrained", "from scratch", "epochs", "steps"]),
            rows: rows.collect(),
        }
    }

    fn corruption_table(&self, on: &str) -> Table {
        let names_of = |row: &super::outcome::CorruptionRow| -> Vec<&'static str> {
            row.top1.iter().map(|score| score.representation).collect()
        };
        let subjects = self.corruptions.first().map(names_of).unwrap_or_default();
        let mut header = names(&["corruption", "family"]);
        header.extend(subjects.iter().map(|name| (*name).to_owned()));
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        let mut sums = vec![0.0; subjects.len()];
        for row in &self.corruptions {
            let mut cells =
                vec![Cell::from(row.corruption.replace('_', " ")), Cell::from(row.family)];
            for (score, sum) in row.top1.iter().zip(&mut sums) {
                cells.push(Cell::from(percent(score.mean)));
                *sum += score.mean;
            }
            rows.push(cells);
        }
        let count = self.corruptions.len() as f64;
        let mut all = vec![Cell::from("mean"), Cell::from("")];
        all.extend(
            sums.iter().map(|sum| Cell { strong: true, ..Cell::from(percent(sum / count)) }),
        );
        rows.insert(0, all);
        Table {
            title: format!("Robustness{on}"),
            caption: "Top-1 of the linear probe, fitted on clean images, on test images with the fifteen corruptions of \
                      CIFAR-10-C, mean of five severities."
                .into(),
            header,
            rows,
        }
    }

    fn factor_table(&self) -> Table {
        let rows = self.factors.iter().map(|row| {
            let value = |v: f64| Cell::from(decimal(v));
            vec![
                Cell::from(row.factor),
                value(row.chance),
                value(row.pixels),
                value(row.untrained),
                value(row.trained),
            ]
        });
        Table {
            title: "What can still be read".into(),
            caption: "How well a linear model reads each factor of newly drawn shapes from the features: accuracy for shape and \
                      texture, R² for the others (below 0 is worse than guessing the mean). What training makes \
                      unreadable, the encoder has become invariant to. Pixels are reduced to 256 components."
                .into(),
            header: names(&["factor", "guessing", "raw pixels", "untrained", "trained"]),
            rows: rows.collect(),
        }
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let encoder = if self.transfer { "encoder trained elsewhere" } else { "run" };
        let mut out = format!("{} ({encoder}) on {}\n", self.run, self.dataset);
        out += &format!("  doctor: {}\n", self.diagnosis.headline);
        out += &told(&self.diagnosis, "          ");
        out += &format!(
            "  features: std {:.2} (0 collapsed, 1 spread), effective rank {:.1} ({:.0} %)\n",
            self.feature_std,
            self.effective_rank,
            100.0 * self.effective_rank_share
        );
        if let Some(cause) = &self.untested {
            out += &format!("  no accuracy, only the collapse signals: {cause}\n");
        }
        for table in self.tables() {
            out += &format!("\n{}\n", table.title);
            out += &grid(&table);
        }
        out
    }
}

/// A table in columns: the first to the left, figures to the right.
fn grid(table: &Table) -> String {
    let header: Vec<&str> = table.header.iter().map(String::as_str).collect();
    let mut rows = vec![header];
    rows.extend(table.rows.iter().map(|row| row.iter().map(|cell| cell.text.as_str()).collect()));
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|text| text.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::from("  ");
        for (column, (text, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - text.chars().count());
            line += &if column == 0 { format!("{text}{pad}") } else { format!("  {pad}{text}") };
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn interval(value: Option<(Interval, String)>) -> Cell {
    let Some((top1, how)) = value else { return Cell::from("–") };
    let how = if how.is_empty() { how } else { format!(" ({how})") };
    Cell {
        text: format!("{}{how}", percent(top1.mean)),
        interval: Some([top1.low, top1.mean, top1.high]),
        strong: false,
    }
}

fn mean(value: Option<MeanDeviation>, show: fn(f64) -> String) -> Cell {
    Cell::from(match value {
        None => "–".into(),
        Some(MeanDeviation { mean, deviation: None }) => show(mean),
        Some(MeanDeviation { mean, deviation: Some(deviation) }) => {
            // A deviation has the unit of its mean already.
            let deviation = show(deviation);
            format!("{} ± {}", show(mean).trim_end_matches(" %"), deviation)
        }
    })
}

fn decimal(value: f64) -> String {
    // No −0.000.
    let value = if value.abs() < 5e-4 { 0.0 } else { value };
    format!("{value:.3}")
}

/// Marks the best of each column, by the number that its text begins with.
fn strong(mut rows: Vec<Vec<Cell>>, columns: &[usize]) -> Vec<Vec<Cell>> {
    let number = |cell: &Cell| -> Option<f64> { cell.text.split(' ').next()?.parse().ok() };
    for column in columns {
        let best = rows.iter().filter_map(|row| number(row.get(*column)?)).reduce(f64::max);
        for row in &mut rows {
            if let Some(cell) = row.get_mut(*column) {
                cell.strong = best.is_some() && number(cell) == best;
            }
        }
    }
    rows
}
