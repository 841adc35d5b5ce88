//! An axis: its span, the place of a value on it, and the text of its ticks.

use crate::numbers::{minus, power_of_ten};

/// Beyond this a span no longer fits a float. No measurement is as large.
const LARGEST: f64 = 1e200;

/// What an axis is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Linear, from the first value to the last.
    Tight,
    /// Linear, from tick to tick.
    Nice,
    /// Logarithmic.
    Log,
    /// Logarithmic. Few values are the ticks themselves.
    Marks,
}

impl Kind {
    fn logarithmic(self) -> bool {
        matches!(self, Self::Log | Self::Marks)
    }
}

/// The most values that are ticks themselves.
const MOST_MARKS: usize = 8;

/// A span of values with its ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    kind: Kind,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    /// The distance of two ticks; on a logarithmic axis unused.
    step: f64,
}

impl Axis {
    /// The axis that spans `values`, with `most` ticks or a few less. `None` if no value can be
    /// drawn.
    pub fn fit(values: impl Iterator<Item = f64>, kind: Kind, most: usize) -> Option<Self> {
        let values: Vec<f64> = values.collect();
        let (low, high) = values
            .iter()
            .copied()
            .filter(|v| drawable(*v, kind))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return None;
        }
        Some(match kind {
            Kind::Log => Self::logarithmic(low, high, most),
            Kind::Marks => Self::marks(values, most),
            Kind::Tight | Kind::Nice => Self::linear(low, high, kind, most),
        })
    }

    fn linear(mut low: f64, mut high: f64, kind: Kind, most: usize) -> Self {
        // Values that differ only in their last digits look like one value.
        if high - low <= low.abs().max(high.abs()) * 1e-9 {
            let pad = if high == 0.0 { 1.0 } else { high.abs() * 0.1 };
            (low, high) = (low - pad, high + pad);
        }
        let rough = (high - low) / most.max(1) as f64;
        let magnitude = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|m| m * magnitude)
            .into_iter()
            .find(|s| *s >= rough * 0.999)
            .unwrap_or(rough);
        if kind == Kind::Nice {
            (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        }
        let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
        let count = (last - first).clamp(0.0, 50.0) as usize;
        let ticks = (0..=count).map(|i| (first + i as f64) * step).collect();
        Self { kind, low, high, ticks, step }
    }

    fn logarithmic(low: f64, high: f64, most: usize) -> Self {
        let (mut bottom, mut top) = (low.log10(), high.log10());
        if top - bottom < 0.05 {
            (bottom, top) = (bottom - 0.15, top + 0.15);
        }
        let decades = top.floor() - bottom.ceil();
        let ticks: Vec<f64> = if decades >= 1.0 {
            (bottom, top) = (bottom.floor(), top.ceil());
            let every = ((top - bottom) / most.max(1) as f64).ceil().max(1.0);
            // From the top down, since the large singular values are there.
            let count = ((top - bottom) / every).floor() as usize;
            (0..=count).rev().map(|i| 10f64.powf(top - i as f64 * every)).collect()
        } else {
            let start = bottom.floor() as i32;
            (start..=start + 2)
                .flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e)))
                .filter(|t| (bottom - 1e-9..=top + 1e-9).contains(&t.log10()))
                .collect()
        };
        Self { kind: Kind::Log, low: bottom, high: top, ticks, step: 0.0 }
    }

    /// From the least to the greatest with a margin, so that no whisker lies on an edge.
    fn marks(mut values: Vec<f64>, most: usize) -> Self {
        values.retain(|v| drawable(*v, Kind::Marks));
        values.sort_by(f64::total_cmp);
        values.dedup();
        let (first, last) = (values[0].log10(), values[values.len() - 1].log10());
        let margin = (0.06 * (last - first)).max(0.02);
        let mut axis = Self::logarithmic(10f64.powf(first), 10f64.powf(last), most);
        // Marks closer than the width of their texts could not be read.
        let apart = values.windows(2).all(|w| w[1].log10() - w[0].log10() > 0.09 * (last - first));
        if values.len() <= MOST_MARKS && apart {
            axis.ticks = values;
            axis.kind = Kind::Marks;
        }
        (axis.low, axis.high) = (first - margin, last + margin);
        axis
    }

    /// The place of `value`: 0 at the low end, 1 at the high end. `None` if it cannot be drawn.
    pub fn place(&self, value: f64) -> Option<f64> {
        if !drawable(value, self.kind) {
            return None;
        }
        let value = if self.kind.logarithmic() { value.log10() } else { value };
        Some((value - self.low) / (self.high - self.low))
    }

    /// The two ends, as logarithms (base 10) on a logarithmic axis.
    pub fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Each tick's place and text.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let largest = self.ticks.iter().fold(0f64, |m, t| m.max(t.abs()));
        self.ticks
            .iter()
            .filter_map(|t| Some((self.place(*t)?, self.label(*t, largest))))
            .filter(|(place, _)| (-0.001..=1.001).contains(place))
            .collect()
    }

    fn label(&self, tick: f64, largest: f64) -> String {
        if self.kind == Kind::Marks {
            let text = tick.to_string();
            return if text.len() <= 6 { text } else { crate::numbers::significant(tick, 3) };
        }
        if self.kind == Kind::Log {
            let power = tick.log10().floor();
            return if (-3.0..5.0).contains(&power) {
                minus(&format!("{tick:.*}", (-power).max(0.0) as usize))
            } else if (tick.log10() - tick.log10().round()).abs() < 1e-6 {
                power_of_ten(tick.log10().round() as i32)
            } else {
                crate::numbers::significant(tick, 1)
            };
        }
        if tick.abs() < self.step * 1e-6 {
            return "0".into();
        }
        let (unit, suffix) = match largest {
            l if (1e4..1e6).contains(&l) => (1e3, "k"),
            l if (1e6..1e9).contains(&l) => (1e6, "M"),
            l if l >= 1e9 || self.step < 1e-5 => return crate::numbers::significant(tick, 3),
            _ => (1.0, ""),
        };
        let decimals = (-(self.step / unit).log10() - 1e-9).ceil().clamp(0.0, 8.0) as usize;
        minus(&format!("{:.decimals$}{suffix}", tick / unit))
    }
}

fn drawable(value: f64, kind: Kind) -> bool {
    value.abs() <= LARGEST && (!kind.logarithmic() || value >= 1.0 / LARGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(values: &[f64], kind: Kind) -> Vec<String> {
        let axis = Axis::fit(values.iter().copied(), kind, 5).unwrap();
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(&[0.31, 0.78], Kind::Nice), ["0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]);
        assert_eq!(labels(&[0.0, 20.0], Kind::Tight), ["0", "5", "10", "15", "20"]);
        assert_eq!(labels(&[0.0, 50_000.0], Kind::Tight), ["0", "10k", "20k", "30k", "40k", "50k"]);
        assert_eq!(labels(&[-1.0, 1.0], Kind::Nice), ["−1.0", "−0.5", "0", "0.5", "1.0"]);
        assert_eq!(labels(&[3e-6, 20.0], Kind::Log), ["10⁻⁶", "10⁻⁴", "0.01", "1", "100"]);
        assert_eq!(labels(&[0.3, 0.9], Kind::Log), ["0.5"]);
    }

    #[test]
    fn nothing_to_draw_is_no_axis() {
        assert_eq!(Axis::fit([f64::NAN, f64::INFINITY].into_iter(), Kind::Nice, 5), None);
        assert_eq!(Axis::fit([0.0, -1.0].into_iter(), Kind::Log, 5), None);
    }

    proptest! {
        #[test]
        fn every_drawable_value_lies_on_its_axis(
            values in prop::collection::vec(prop::num::f64::ANY, 1..8),
            kind in prop::sample::select(vec![Kind::Tight, Kind::Nice, Kind::Log]),
        ) {
            let Some(axis) = Axis::fit(values.iter().copied(), kind, 5) else { return Ok(()) };
            let (low, high) = axis.ends();
            prop_assert!(low.is_finite() && high.is_finite() && low < high);
            prop_assert!(axis.ticks().len() < 60);
            for value in values {
                if let Some(place) = axis.place(value) {
                    prop_assert!((-1e-6..=1.0 + 1e-6).contains(&place), "{value} at {place}");
                }
            }
        }
    }
}
