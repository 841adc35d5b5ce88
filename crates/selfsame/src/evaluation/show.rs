//! An evaluation as text, and as tables of a report.

use selfsame_eval::{Interval, MeanDeviation};
use selfsame_report::{Cell, Table};

use super::outcome::{Outcome, Scores};
use crate::evaluation::invariance::augmentation_table;
use crate::words::{count, percent, told};

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
        augmentations.caption += &format!(" Over {}.", count(self.augmented_images, "image"));
        tables.push(augmentations);
        if !self.factors.is_empty() {
            tables.push(self.factor_table());
        }
        tables.retain(|table| !table.rows.is_empty());
        tables
    }

    fn test(&self, images: usize) -> String {
        some_of(images, self.set_test_images, "test image")
    }

    fn train(&self, images: usize) -> String {
        some_of(images, self.set_train_images, "training image")
    }

    fn representation_table(&self, on: &str) -> Table {
        let rows = self.representations.iter().map(|scores| {
            let Scores { name, dim, train_images, test_images, .. } = scores;
            let chosen = scores.knn_chosen.as_ref().map(|knn| {
                let k = format!("k {}, T {}", knn.k, knn.temperature);
                (knn.top1, k)
            });
            let linear =
                scores.linear.as_ref().map(|linear| (linear.top1, format!("C {}", linear.c)));
            let mut row = vec![
                Cell::from(*name),
                Cell::from(dim.to_string()),
                Cell::from(train_images.to_string()),
                Cell::from(test_images.to_string()),
                interval(scores.knn.as_ref().map(|knn| (knn.top1, String::new()))),
                interval(chosen),
                interval(linear),
            ];
            if self.without_clusters.is_none() {
                row.push(mean(scores.clusters.as_ref().map(|c| c.nmi), decimal));
                row.push(mean(scores.clusters.as_ref().map(|c| c.ari), decimal));
            }
            row
        });
        let mut header = names(&[
            "representation",
            "dimensions",
            "train images",
            "test images",
            "k-NN, the run's k and T",
            "k-NN, chosen",
            "linear probe",
        ]);
        let side = self.pixel_side;
        let mut caption = format!(
            "Top-1 on {} from {}, the same for all rows; ± is half the 95 % bootstrap interval \
             over the test images. k, T and C are chosen on training images. For pixel features, \
             larger images are reduced to {side}×{side}.",
            self.test(self.table_test_images),
            self.train(self.table_train_images),
        );
        match &self.without_clusters {
            None => {
                header.extend(names(&["NMI", "ARI"]));
                caption += &format!(
                    " NMI and ARI compare k-means clusters of the test images with the classes (1: the same, 0: chance), \
                     mean ± standard deviation of {}.",
                    count(self.seeds, "seed")
                );
            }
            Some(why) => caption += &format!(" NMI and ARI are left out: {why}."),
        }
        let columns: Vec<usize> = (4..header.len()).collect();
        Table {
            title: format!("Frozen features{on}"),
            caption,
            header,
            rows: strong(rows.collect(), &columns),
        }
    }

    /// Budgets with the same images share a column.
    fn few_label_table(&self, on: &str) -> Table {
        let few =
            self.representations.first().map(|scores| scores.few.as_slice()).unwrap_or_default();
        let own = || few.iter().filter(|few| few.same_as.is_none());
        let mut header = vec!["representation".to_owned()];
        header.extend(own().map(|column| {
            let same = few.iter().filter(|few| few.same_as.as_ref() == Some(&column.labels));
            let labels = same.fold(column.labels.clone(), |all, few| all + ", " + &few.labels);
            format!("{labels} ({})", column.images)
        }));
        let rows = self.representations.iter().map(|scores| {
            let mut row = vec![Cell::from(scores.name)];
            let own = scores.few.iter().filter(|few| few.same_as.is_none());
            row.extend(own.map(|few| repeated(few.top1, few.interval)));
            row
        });
        let columns: Vec<usize> = (1..header.len()).collect();
        let draws = match self.seeds {
            1 => "one draw of the labelled images, ± half the 95 % interval over the test images",
            _ => "mean ± standard deviation",
        };
        let of_draws = match self.seeds {
            1 => String::new(),
            seeds => format!(" of {seeds} draws of the labelled images"),
        };
        Table {
            title: format!("Linear probe with few labels{on}"),
            caption: format!(
                "Top-1 on {}, {draws}{of_draws}; in brackets, the number of labels.{}",
                self.test(self.table_test_images),
                match self.representations.iter().any(|scores| scores.classifier.is_some()) {
                    true => " The supervised encoder has seen more.",
                    false => "",
                }
            ),
            header,
            rows: strong(rows.collect(), &columns),
        }
    }

    fn finetuning_table(&self, on: &str) -> Table {
        let test_images = self.finetuning.first().map_or(0, |row| row.test_images);
        let rows = self.finetuning.iter().map(|row| {
            let better = row.pretrained.mean > row.from_scratch.mean;
            let pretrained = repeated(row.pretrained, row.pretrained_interval);
            let scratch = repeated(row.from_scratch, row.from_scratch_interval);
            vec![
                Cell::from(format!("{} ({})", row.labels, row.images)),
                Cell { strong: better, ..pretrained },
                Cell { strong: !better, ..scratch },
                Cell::from(row.epochs.to_string()),
                Cell::from(row.steps.to_string()),
            ]
        });
        Table {
            title: format!("Fine-tuning{on}"),
            caption: format!(
                "Top-1 on {} of the whole network trained on labels, from the pretrained encoder \
                 and from initial weights, by one recipe. Few labels are drawn again for each \
                 seed: mean ± standard deviation. The largest number is trained on once: ± half \
                 the 95 % interval over the test images.",
                self.test(test_images)
            ),
            header: names(&["labels", "pretrained", "from scratch", "epochs", "steps"]),
            rows: rows.collect(),
        }
    }

    fn corruption_table(&self, on: &str) -> Table {
        let mut header = names(&["corruption", "family"]);
        header.extend(self.corrupted.iter().map(|mean| mean.representation.to_owned()));
        let cell = |top1: Interval| interval(Some((top1, String::new())));
        let mut all = vec![Cell::from("mean"), Cell::from("")];
        all.extend(self.corrupted.iter().map(|mean| Cell { strong: true, ..cell(mean.top1) }));
        let mut rows = vec![all];
        rows.extend(self.corruptions.iter().map(|row| {
            let mut cells =
                vec![Cell::from(row.corruption.replace('_', " ")), Cell::from(row.family)];
            cells.extend(row.top1.iter().map(|score| cell(score.interval)));
            cells
        }));
        Table {
            title: format!("Robustness{on}"),
            caption: format!(
                "Top-1 of the linear probe, fitted on clean images, on {} with the fifteen corruptions of CIFAR-10-C, mean of \
                 five severities; ± is half the 95 % interval over the test images.",
                self.test(self.corrupted_images)
            ),
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
            caption: "How well a linear model reads each factor of newly drawn shapes from the \
                 features: accuracy for shape and texture, R² for the others (below 0 is worse \
                 than guessing the mean). The encoder is invariant to a factor that training made \
                 unreadable. Pixels are reduced to 256 components."
                .into(),
            header: names(&["factor", "guessing", "raw pixels", "untrained", "trained"]),
            rows: rows.collect(),
        }
    }

    /// The text for a terminal.
    pub fn text(&self) -> String {
        let judged = match self.transfer {
            true => format!("judged on {}, not its training data", self.dataset),
            false => format!("judged on {}, the data set that it was trained on", self.dataset),
        };
        let mut out = format!("encoder of the run {}, {judged}\n", self.run);
        out += &format!("  doctor: {}\n", self.diagnosis.headline);
        out += &told(&self.diagnosis, "          ");
        out += &format!(
            "  features: std {:.2} (0 collapsed, 1 spread), effective rank {:.1} ({:.0} %; RankMe, not centred)\n",
            self.feature_std,
            self.effective_rank,
            100.0 * self.effective_rank_share
        );
        if let Some(cause) = &self.untested {
            out += &format!("  no accuracy, only the signals of collapse: {cause}\n");
        }
        let images =
            format!("{} from {}", self.test(self.test_images), self.train(self.train_images));
        if let Some(knn) = &self.knn {
            let settings = format!("k {}, T {}", knn.k, knn.temperature);
            out += &format!("  k-NN: {} ({settings}) of {images}\n", accuracy(knn.top1));
        }
        if let Some(linear) = self.linear.as_ref().filter(|_| self.linear_on_all) {
            let top1 = accuracy(linear.top1);
            out += &format!("  linear probe: {top1} (C {}) of {images}\n", linear.c);
        }
        for table in self.tables() {
            out += &format!("\n{}\n{}\n", table.title, wrapped(&table.caption));
            out += &grid(&table);
        }
        out
    }
}

/// Text in indented lines that fit a terminal.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 100;
    let mut lines = vec![String::from(" ")];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last + 1 + word.chars().count() > WIDTH {
            lines.push(String::from(" "));
        }
        if let Some(line) = lines.last_mut() {
            *line += " ";
            *line += word;
        }
    }
    lines.join("\n")
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

/// `30 test images`, or `10 of 30 test images`.
fn some_of(images: usize, all: usize, noun: &str) -> String {
    if images == all { count(all, noun) } else { format!("{images} of {}", count(all, noun)) }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn interval(value: Option<(Interval, String)>) -> Cell {
    let Some((top1, how)) = value else { return Cell::from("–") };
    let how = if how.is_empty() { how } else { format!(" ({how})") };
    Cell {
        text: format!("{}{how}", accuracy(top1)),
        interval: Some([top1.low, top1.mean, top1.high]),
        strong: false,
    }
}

/// An accuracy with half the width of its interval.
fn accuracy(top1: Interval) -> String {
    format!("{:.2} ± {:.2} %", 100.0 * top1.mean, 50.0 * (top1.high - top1.low))
}

/// A mean over repetitions, or a single one with its interval.
fn repeated(top1: MeanDeviation, single: Option<Interval>) -> Cell {
    match single {
        Some(top1) => interval(Some((top1, String::new()))),
        None => mean(Some(top1), percent),
    }
}

fn mean(value: Option<MeanDeviation>, show: fn(f64) -> String) -> Cell {
    Cell::from(match value {
        None => "–".into(),
        Some(MeanDeviation { mean, deviation: None }) => show(mean),
        Some(MeanDeviation { mean, deviation: Some(deviation) }) => {
            // A deviation has the unit of its mean.
            let deviation = show(deviation);
            format!("{} ± {}", show(mean).trim_end_matches(" %"), deviation)
        }
    })
}

fn decimal(value: f64) -> String {
    // Avoids −0.000.
    let value = if value.abs() < 5e-4 { 0.0 } else { value };
    format!("{value:.3}")
}

/// Marks the best cell of each column, by the number at the start of its text.
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
