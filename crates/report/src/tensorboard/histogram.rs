//! Values counted in buckets, as TensorBoard's histogram and distribution pages show them.

use super::record::Message;

/// Buckets of one histogram; TensorBoard's own `histogram` summary makes as many.
const BUCKETS: usize = 30;

/// `HistogramProto` of the finite among `values`, in buckets of equal width from the least to the
/// greatest.
///
/// The first bucket is empty and ends at the least value, since the format has right edges only.
/// Without a finite value there is no bucket.
pub(super) fn histogram(values: &[f32]) -> Message {
    let finite = || values.iter().map(|&value| f64::from(value)).filter(|value| value.is_finite());
    let (least, greatest) = finite()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    if least > greatest {
        return Message::default();
    }
    let (edges, counts) = buckets(finite(), least, greatest);
    Message::default()
        .double(1, least)
        .double(2, greatest)
        .double(3, counts.iter().sum())
        .double(4, finite().sum())
        .double(5, finite().map(|value| value * value).sum())
        .doubles(6, &edges)
        .doubles(7, &counts)
}

/// Right edges and counts. Equal values make one bucket without width.
fn buckets(values: impl Iterator<Item = f64>, least: f64, greatest: f64) -> (Vec<f64>, Vec<f64>) {
    let count = if least < greatest { BUCKETS } else { 1 };
    let width = (greatest - least) / count as f64;
    let mut edges: Vec<f64> = (0..=count).map(|edge| least + edge as f64 * width).collect();
    edges[count] = greatest;
    let mut counts = vec![0.0; count + 1];
    for value in values {
        // 0 / 0 becomes bucket 0.
        let bucket = ((value - least) / width) as usize;
        counts[1 + bucket.min(count - 1)] += 1.0;
    }
    (edges, counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(values: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        buckets(values.iter().copied(), least, greatest)
    }

    #[test]
    fn least_and_greatest_are_in_the_outer_buckets() {
        let (edges, counts) = counted(&[-1.0, 0.0, 0.0, 2.0]);
        assert_eq!((edges.len(), counts.len()), (31, 31));
        assert_eq!((edges[0], edges[30]), (-1.0, 2.0));
        assert_eq!((counts[0], counts[1], counts[11], counts[30]), (0.0, 1.0, 2.0, 1.0));
    }

    #[test]
    fn equal_values_are_one_bucket() {
        assert_eq!(counted(&[3.0; 5]), (vec![3.0, 3.0], vec![0.0, 5.0]));
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        let cleaned = histogram(&[1.0, f32::NAN, 2.0, f32::INFINITY, f32::NEG_INFINITY]);
        assert_eq!(cleaned.bytes(), histogram(&[1.0, 2.0]).bytes());
        assert!(histogram(&[f32::NAN]).bytes().is_empty());
        assert!(histogram(&[]).bytes().is_empty());
    }

    /// The whole range of `f32` does not overflow.
    #[test]
    fn the_widest_range_has_finite_edges() {
        let (edges, counts) = counted(&[f64::from(f32::MIN), 0.0, f64::from(f32::MAX)]);
        assert!(edges.iter().all(|edge| edge.is_finite()));
        assert_eq!(counts.iter().sum::<f64>(), 3.0);
    }
}
