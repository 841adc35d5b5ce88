//! One method's course over training, a line for each batch size.

use selfsame_eval::mean_and_deviation;
use selfsame_report::{Chart, Line};

use crate::settings::Method;
use crate::study::comparison::{Comparison, Group};
use crate::study::figures::range;
use crate::study::measured::Measured;

/// k-NN accuracy against epochs: means over the seeds, whiskers of one deviation.
pub fn method_chart(comparison: &Comparison, method: Method) -> Chart {
    let mut groups: Vec<&Group> = comparison.of(method).collect();
    groups.sort_by_key(|group| group.batch_size);
    let lines = groups.iter().map(|group| line(group)).collect();
    Chart {
        title: format!("{}: k-NN accuracy against epochs", method.title()),
        caption: "On held-out images; means over the seeds, whiskers of one deviation.".into(),
        x_label: "epoch".into(),
        y_label: "top-1, percent".into(),
        lines,
        ..Chart::default()
    }
}

fn line(group: &Group) -> Line {
    let runs: Vec<&Measured> = group.repeats.measured().collect();
    let shortest = runs.iter().map(|run| run.curve.len()).min().unwrap_or(0);
    let (mut points, mut ranges) = (Vec::new(), Vec::new());
    for i in 0..shortest {
        let values: Vec<f64> = runs.iter().map(|run| run.curve[i].knn_top1).collect();
        if let Some(value) = mean_and_deviation(&values) {
            points.push([runs[0].curve[i].epoch, 100.0 * value.mean]);
            ranges.push(range(value));
        }
    }
    Line { ranges, ..Line::measured(format!("batch {}", group.batch_size), points) }
}
