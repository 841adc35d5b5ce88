//! Operations on single pixels, as many as possible in one pass over an image.
//!
//! An image of 224 pixels is larger than the nearest caches, so a pass over it costs more than the
//! arithmetic of an operation. Therefore a piece of the image goes through all operations while it
//! is in the cache. Contrast is the exception: it needs the mean of the whole image after the
//! operations before it.
//!
//! This file uses loops, not `for_each` or `map`. A closure may become a function of its own, and
//! then it is compiled without the processor's vector instructions.

use crate::Image;
use crate::ops::luma;
use crate::simd::vectorized;

/// One operation with its parameter. Values stay in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PixelOp {
    /// Blend with black.
    Brightness(f32),
    /// Blend with the image's mean luma.
    Contrast(f32),
    /// Blend with the grayscale image.
    Saturation(f32),
    /// In turns.
    Hue(f32),
    Grayscale,
    /// Values at or above this are inverted.
    Solarize(f32),
}

/// Pixels of a piece: 6 KiB of f32.
const PIECE: usize = 512;

/// A piece of the three planes.
type Piece<'a> = [&'a mut [f32]; 3];

/// Applies the operations in their order. `last` gets each finished piece, with the index of its
/// first pixel.
#[inline(always)]
pub fn apply(image: &mut Image, ops: &[PixelOp], mut last: impl FnMut(usize, [&[f32]; 3])) {
    vectorized(
        #[inline(always)]
        |_| {
            let contrast = ops.iter().position(|op| matches!(op, PixelOp::Contrast(_)));
            let (before, after) = ops.split_at(contrast.unwrap_or(0));
            let mut mean = 0.0;
            if contrast.is_some() {
                // f64, since a sum of a million f32 would lose what it adds.
                let mut sum = 0f64;
                for_each_piece(
                    image,
                    #[inline(always)]
                    |_, mut piece| {
                        for op in before {
                            op.change(&mut piece, 0.0);
                        }
                        sum += luma_sum(&piece);
                    },
                );
                mean = (sum / (image.width() * image.height()) as f64) as f32;
            }
            for_each_piece(
                image,
                #[inline(always)]
                |start, mut piece| {
                    for op in after {
                        op.change(&mut piece, mean);
                    }
                    let [r, g, b] = piece;
                    last(start, [r, g, b]);
                },
            );
        },
    );
}

#[inline(always)]
fn for_each_piece(image: &mut Image, mut f: impl FnMut(usize, Piece)) {
    let [r, g, b] = image.planes_mut();
    let pieces = r.chunks_mut(PIECE).zip(g.chunks_mut(PIECE)).zip(b.chunks_mut(PIECE));
    for (i, ((r, g), b)) in pieces.enumerate() {
        f(i * PIECE, [r, g, b]);
    }
}

#[inline(always)]
fn luma_sum([r, g, b]: &Piece) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0f32; LANES];
    let ((r, rest_r), (g, rest_g), (b, rest_b)) =
        (r.as_chunks::<LANES>(), g.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for ((r, g), b) in r.iter().zip(g).zip(b) {
        for i in 0..LANES {
            sums[i] += luma(r[i], g[i], b[i]);
        }
    }
    let mut total = 0f64;
    for sum in sums {
        total += f64::from(sum);
    }
    for ((r, g), b) in rest_r.iter().zip(rest_g).zip(rest_b) {
        total += f64::from(luma(*r, *g, *b));
    }
    total
}

impl PixelOp {
    /// `mean` is the image's mean luma, which contrast alone needs.
    #[inline(always)]
    fn change(self, piece: &mut Piece, mean: f32) {
        match self {
            Self::Brightness(factor) => each_value(
                piece,
                #[inline(always)]
                |value| (value * factor).clamp(0.0, 1.0),
            ),
            Self::Contrast(factor) => {
                let shift = mean * (1.0 - factor);
                each_value(
                    piece,
                    #[inline(always)]
                    |value| (value * factor + shift).clamp(0.0, 1.0),
                );
            }
            Self::Solarize(threshold) => {
                each_value(
                    piece,
                    #[inline(always)]
                    |value| if value >= threshold { 1.0 - value } else { value },
                );
            }
            Self::Saturation(factor) => each_pixel(
                piece,
                #[inline(always)]
                |[r, g, b]| {
                    let grey = luma(r, g, b) * (1.0 - factor);
                    [
                        (r * factor + grey).clamp(0.0, 1.0),
                        (g * factor + grey).clamp(0.0, 1.0),
                        (b * factor + grey).clamp(0.0, 1.0),
                    ]
                },
            ),
            Self::Hue(turns) => {
                let sextants = (turns - turns.floor()) * 6.0;
                each_pixel(
                    piece,
                    #[inline(always)]
                    |rgb| shift_hue(rgb, sextants),
                );
            }
            Self::Grayscale => each_pixel(
                piece,
                #[inline(always)]
                |[r, g, b]| [luma(r, g, b); 3],
            ),
        }
    }
}

#[inline(always)]
fn each_value(piece: &mut Piece, f: impl Fn(f32) -> f32) {
    for plane in piece {
        for value in plane.iter_mut() {
            *value = f(*value);
        }
    }
}

#[inline(always)]
fn each_pixel([r, g, b]: &mut Piece, f: impl Fn([f32; 3]) -> [f32; 3]) {
    for ((r, g), b) in r.iter_mut().zip(g.iter_mut()).zip(b.iter_mut()) {
        [*r, *g, *b] = f([*r, *g, *b]);
    }
}

/// Turns the hue by `sextants` in `[0, 6]`, keeping HSV saturation and value.
///
/// With the hue `h` in sextants, each channel is `min + chroma · t`, where `t` is a trapezium over
/// the circle: `|h − 3| − 1` for red, `2 − |h − 2|` for green and `2 − |h − 4|` for blue, cut to
/// `[0, 1]`. Selections stand in place of branches, so that many pixels are computed at once.
#[inline(always)]
fn shift_hue([r, g, b]: [f32; 3], sextants: f32) -> [f32; 3] {
    let max = larger(larger(r, g), b);
    let min = smaller(smaller(r, g), b);
    let chroma = max - min;
    // A grey pixel has no hue, and keeps its colour whatever this is.
    let inverse = if chroma > 0.0 { 1.0 / chroma } else { 0.0 };
    let from_green = if max == g { 2.0 + (b - r) * inverse } else { 4.0 + (r - g) * inverse };
    let sextant = if max == r { (g - b) * inverse } else { from_green };
    let hue = sextant + sextants;
    let hue = if hue < 0.0 { hue + 6.0 } else { hue };
    let hue = if hue >= 6.0 { hue - 6.0 } else { hue };
    [
        between(min, chroma, (hue - 3.0).abs() - 1.0),
        between(min, chroma, 2.0 - (hue - 2.0).abs()),
        between(min, chroma, 2.0 - (hue - 4.0).abs()),
    ]
}

#[inline(always)]
fn between(min: f32, chroma: f32, t: f32) -> f32 {
    smaller(min + chroma * t.clamp(0.0, 1.0), 1.0)
}

/// One instruction. [`f32::max`] takes three, to get NaN right.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: [f32; 3], b: [f32; 3]) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?} {b:?}");
    }

    #[test]
    fn two_sextants_take_red_to_green() {
        close(shift_hue([0.9, 0.2, 0.2], 2.0), [0.2, 0.9, 0.2]);
        close(shift_hue([0.9, 0.2, 0.2], 4.0), [0.2, 0.2, 0.9]);
        close(shift_hue([0.1, 0.5, 0.3], 6.0), [0.1, 0.5, 0.3]);
        close(shift_hue([0.4, 0.4, 0.4], 1.3), [0.4, 0.4, 0.4]);
    }

    #[test]
    fn pieces_come_once_and_in_order_after_all_operations() {
        let mut image = Image::filled(37, 31, [0.25, 0.5, 0.75]);
        let mut next = 0;
        let ops = [PixelOp::Brightness(2.0), PixelOp::Contrast(0.0), PixelOp::Solarize(0.5)];
        // 0.5, 1 and 1 after the first; then the luma of that everywhere; then inverted.
        let expected = 1.0 - (0.299 * 0.5 + 0.587 + 0.114);
        apply(&mut image, &ops, |start, planes| {
            assert_eq!(start, next);
            next += planes[0].len();
            assert!(planes.iter().all(|plane| plane.len() == planes[0].len()));
            for value in planes.iter().copied().flatten() {
                assert!((value - expected).abs() < 1e-5, "{value}");
            }
        });
        assert_eq!(next, 37 * 31);
    }
}
