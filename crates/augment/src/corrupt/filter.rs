//! Filters of one plane, with the border rules of the libraries that the authors used.

/// How a line `abcd` continues beyond its border, in the notation of SciPy's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// `aaa|abcd|ddd`
    Nearest,
    /// `cba|abcd|dcb`
    Symmetric,
    /// `dcb|abcd|cba`
    Reflect,
}

impl Border {
    /// The position in `0..len` that stands for `at`.
    pub fn place(self, at: i64, len: usize) -> usize {
        let last = len as i64 - 1;
        if (0..=last).contains(&at) {
            return at as usize;
        }
        let place = match self {
            Self::Nearest => at.clamp(0, last),
            Self::Symmetric => {
                let at = at.rem_euclid(2 * last + 2);
                at.min(2 * last + 1 - at)
            }
            Self::Reflect if last == 0 => 0,
            Self::Reflect => {
                let at = at.rem_euclid(2 * last);
                at.min(2 * last - at)
            }
        };
        place as usize
    }
}

/// Convolves a plane with a bell that is cut off `truncate · sigma` from its middle, along both
/// axes.
pub fn gaussian(plane: &mut Vec<f32>, width: usize, sigma: f32, truncate: f32, border: Border) {
    let radius = (truncate * sigma + 0.5) as usize;
    if radius == 0 || plane.is_empty() {
        return;
    }
    let height = plane.len() / width;
    let mut kernel: Vec<f32> =
        (0..=2 * radius).map(|i| bell(i as f32 - radius as f32, sigma)).collect();
    let sum: f32 = kernel.iter().sum();
    kernel.iter_mut().for_each(|weight| *weight /= sum);
    let down = weigh_rows(plane, width, &Bands::new(&kernel, height, border));
    let turned = transposed(&down, width);
    let across = weigh_rows(&turned, height, &Bands::new(&kernel, width, border));
    *plane = transposed(&across, height);
}

/// `exp(−x² / 2σ²)`
fn bell(x: f32, sigma: f32) -> f32 {
    (-x * x / (2.0 * sigma * sigma)).exp()
}

/// A kernel for each position. Weights beyond the border are added to those within it, so that a
/// position never costs more than the length of the line.
struct Bands {
    firsts: Vec<usize>,
    weights: Vec<Vec<f32>>,
}

impl Bands {
    fn new(kernel: &[f32], len: usize, border: Border) -> Self {
        let radius = kernel.len() / 2;
        let (mut firsts, mut weights) = (Vec::with_capacity(len), Vec::with_capacity(len));
        for i in 0..len {
            let first = i.saturating_sub(radius);
            let last = (i + radius).min(len - 1);
            // Mirrored positions of a short line can lie anywhere in it, else near its border.
            let (first, last) =
                if kernel.len() >= len { (0, len - 1) } else { widened(first, last, radius, len) };
            let mut band = vec![0.0; last - first + 1];
            for (k, weight) in kernel.iter().enumerate() {
                let place = border.place((i + k) as i64 - radius as i64, len);
                band[place - first] += weight;
            }
            firsts.push(first);
            weights.push(band);
        }
        Self { firsts, weights }
    }
}

/// The range of positions that a kernel reaches, reflections at the border included.
fn widened(first: usize, last: usize, radius: usize, len: usize) -> (usize, usize) {
    let last = if first == 0 { last.max(radius).min(len - 1) } else { last };
    let first = if last == len - 1 { first.min(len - 1 - radius) } else { first };
    (first, last)
}

/// Sums of rows.
fn weigh_rows(plane: &[f32], width: usize, bands: &Bands) -> Vec<f32> {
    let mut out = vec![0.0; plane.len()];
    let rows = out.chunks_exact_mut(width).zip(bands.firsts.iter().zip(&bands.weights));
    for (to, (first, weights)) in rows {
        for (from, weight) in plane[first * width..].chunks_exact(width).zip(weights) {
            add(to, from, *weight);
        }
    }
    out
}

/// `to += weight · from`
pub fn add(to: &mut [f32], from: &[f32], weight: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += weight * from;
    }
}

fn transposed(plane: &[f32], width: usize) -> Vec<f32> {
    let height = plane.len() / width;
    let mut out = vec![0.0; plane.len()];
    for (y, row) in plane.chunks_exact(width).enumerate() {
        for (x, value) in row.iter().enumerate() {
            out[x * height + y] = *value;
        }
    }
    out
}

/// A sum of shifted copies of a plane: shifts in x and y, and weights.
pub fn shifted_sum(
    plane: &[f32],
    width: usize,
    taps: &[(i64, i64, f32)],
    border: Border,
) -> Vec<f32> {
    let height = plane.len() / width;
    let reach = taps.iter().map(|(x, _, _)| x.unsigned_abs() as usize).max().unwrap_or(0);
    // Rows with their borders, so that a shift is a slice.
    let pitch = width + 2 * reach;
    let mut long = vec![0.0; pitch * height];
    let places: Vec<usize> =
        (0..pitch).map(|x| border.place(x as i64 - reach as i64, width)).collect();
    for (to, from) in long.chunks_exact_mut(pitch).zip(plane.chunks_exact(width)) {
        for (to, place) in to.iter_mut().zip(&places) {
            *to = from[*place];
        }
    }
    let mut out = vec![0.0; plane.len()];
    for (y, to) in out.chunks_exact_mut(width).enumerate() {
        for (dx, dy, weight) in taps {
            let row = border.place(y as i64 + dy, height);
            let start = (row * pitch + reach).strict_add_signed(*dx as isize);
            add(to, &long[start..start + width], *weight);
        }
    }
    out
}

/// ImageMagick's motion blur: half a bell from the pixel over `2 · radius` pixels in the direction
/// of `degrees`, with the nearest pixel at each step. The result is rounded to 8 bits, as
/// ImageMagick's is.
pub fn motion(plane: &[f32], width: usize, radius: f32, sigma: f32, degrees: f32) -> Vec<f32> {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let steps = 2 * radius.ceil() as usize + 1;
    let weights: Vec<f32> = (0..steps).map(|i| bell(i as f32, sigma)).collect();
    let sum: f32 = weights.iter().sum();
    let nearest = |way: f32| (way - 0.5).ceil() as i64;
    let taps: Vec<_> = (0..steps)
        .zip(weights)
        .map(|(i, weight)| (nearest(i as f32 * cosine), nearest(i as f32 * sine), weight / sum))
        .collect();
    let mut out = shifted_sum(plane, width, &taps, Border::Nearest);
    out.iter_mut().for_each(|value| *value = (*value * 255.0).round() / 255.0);
    out
}

/// The middle part of a plane, enlarged bilinearly by a factor of at least 1 and cut to the plane's
/// size. Corners of the part become corners of the enlargement, as in `scipy.ndimage.zoom` of
/// order 1.
pub struct Zoom {
    columns: Vec<Sample>,
    rows: Vec<Sample>,
    width: usize,
}

/// A position between `first` and the one after.
#[derive(Clone, Copy)]
struct Sample {
    first: usize,
    second: usize,
    share: f32,
}

/// How many pixels in the middle of a line fill it when enlarged.
pub fn zoomed_part(len: usize, factor: f64) -> usize {
    (len as f64 / factor).ceil() as usize
}

impl Zoom {
    /// Reads from a plane that is only the middle part if `cropped`.
    pub fn new(width: usize, height: usize, factor: f64, cropped: bool) -> Self {
        let axis = |len: usize| {
            let part = zoomed_part(len, factor);
            let start = if cropped { 0 } else { (len - part) / 2 };
            let enlarged = ((part as f64 * factor).round_ties_even() as usize).max(len);
            let trim = (enlarged - len) / 2;
            let step = (part - 1) as f64 / (enlarged - 1).max(1) as f64;
            (0..len)
                .map(|i| {
                    let at = (i + trim) as f64 * step;
                    let first = (at as usize).min(part - 1);
                    Sample {
                        first: start + first,
                        second: start + (first + 1).min(part - 1),
                        share: (at - first as f64) as f32,
                    }
                })
                .collect()
        };
        let source = if cropped { zoomed_part(width, factor) } else { width };
        Self { columns: axis(width), rows: axis(height), width: source }
    }

    /// Adds the enlargement to `to`.
    pub fn add_to(&self, to: &mut [f32], plane: &[f32]) {
        for (to, row) in to.chunks_exact_mut(self.columns.len()).zip(&self.rows) {
            let above = &plane[row.first * self.width..][..self.width];
            let below = &plane[row.second * self.width..][..self.width];
            for (to, column) in to.iter_mut().zip(&self.columns) {
                let between = |row: &[f32]| {
                    let value = row[column.first];
                    value + (row[column.second] - value) * column.share
                };
                let value = between(above);
                *to += value + (between(below) - value) * row.share;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_are_as_their_letters_say() {
        let letters = |border: Border| {
            (-5..9).map(|at| b"abcd"[border.place(at, 4)] as char).collect::<String>()
        };
        assert_eq!(letters(Border::Nearest), "aaaaaabcdddddd");
        assert_eq!(letters(Border::Symmetric), "ddcbaabcddcbaa");
        assert_eq!(letters(Border::Reflect), "bcdcbabcdcbabc");
        for border in [Border::Nearest, Border::Symmetric, Border::Reflect] {
            assert_eq!(border.place(-3, 1), 0);
        }
    }

    /// The same sum without folding, for kernels shorter and longer than the line.
    #[test]
    fn a_folded_kernel_is_the_kernel_over_the_border() {
        let line: Vec<f32> = (0..7).map(|i| (i * i % 5) as f32).collect();
        for border in [Border::Nearest, Border::Symmetric, Border::Reflect] {
            for sigma in [0.3, 0.6, 1.0, 4.0] {
                let mut column = line.clone();
                gaussian(&mut column, 1, sigma, 4.0, border);
                let radius = (4.0 * sigma + 0.5) as i64;
                let sum: f32 = (-radius..=radius).map(|k| bell(k as f32, sigma)).sum();
                for (i, found) in column.iter().enumerate() {
                    let expected: f32 = (-radius..=radius)
                        .map(|k| bell(k as f32, sigma) * line[border.place(i as i64 + k, 7)] / sum)
                        .sum();
                    assert!(
                        (found - expected).abs() < 1e-5,
                        "{border:?} {sigma}: {found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn motion_runs_from_the_pixel_in_its_direction() {
        let mut plane = vec![0.0; 25];
        plane[12] = 1.0;
        // To the right of each pixel, so the light of the middle falls to its left.
        let right = motion(&plane, 5, 1.0, 1.0, 0.0);
        assert!(right[12] > right[11] && right[11] > right[10] && right[10] > 0.0, "{right:?}");
        assert_eq!((right[13], right[7], right[17]), (0.0, 0.0, 0.0));
        let down = motion(&plane, 5, 1.0, 1.0, 90.0);
        assert!(down[12] > down[7] && down[7] > down[2] && down[2] > 0.0, "{down:?}");
        assert_eq!(down[17], 0.0);
    }
}
