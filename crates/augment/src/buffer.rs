//! The caller's memory that a view is written to, and its form.

use crate::ops::level;
use crate::pixels::{self, PixelOp};
use crate::{AugmentError, Image};

/// Where a view goes, and in which form. The memory is the caller's.
#[derive(Debug)]
pub enum ViewBuffer<'a> {
    /// Normalised f32, `[3, height, width]`: what most networks take.
    Planar(&'a mut [f32]),
    /// Normalised f32, `[height, width, 3]`.
    Interleaved(&'a mut [f32]),
    /// 8 bits per channel, `[height, width, 3]`, rounded and not normalised: an image to look at.
    Rgb8(&'a mut [u8]),
}

/// Mean and deviation per channel that a view is normalised with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statistics {
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl ViewBuffer<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Planar(out) | Self::Interleaved(out) => out.len(),
            Self::Rgb8(out) => out.len(),
        }
    }

    /// Applies the last operations to `image`, and writes it while its pixels are near.
    pub(crate) fn write(
        self,
        image: &mut Image,
        ops: &[PixelOp],
        Statistics { mean, std }: Statistics,
    ) -> Result<(), AugmentError> {
        let plane = image.width() * image.height();
        let (found, expected) = (self.len(), 3 * plane);
        if found != expected {
            return Err(AugmentError::Length { what: "the view buffer", found, expected });
        }
        let scale = std.map(|std| 1.0 / std);
        match self {
            Self::Planar(out) => pixels::apply(
                image,
                ops,
                #[inline(always)]
                |start, planes| {
                    let all = out.chunks_exact_mut(plane).zip(planes).zip(mean.iter().zip(scale));
                    for ((out, from), (mean, scale)) in all {
                        for (to, value) in out[start..][..from.len()].iter_mut().zip(from) {
                            *to = (value - mean) * scale;
                        }
                    }
                },
            ),
            Self::Interleaved(out) => pixels::apply(
                image,
                ops,
                #[inline(always)]
                |start, [r, g, b]| {
                    let out = out[3 * start..][..3 * r.len()].as_chunks_mut().0;
                    for (((out, r), g), b) in out.iter_mut().zip(r).zip(g).zip(b) {
                        *out = [
                            (r - mean[0]) * scale[0],
                            (g - mean[1]) * scale[1],
                            (b - mean[2]) * scale[2],
                        ];
                    }
                },
            ),
            Self::Rgb8(out) => pixels::apply(
                image,
                ops,
                #[inline(always)]
                |start, [r, g, b]| {
                    let out = out[3 * start..][..3 * r.len()].as_chunks_mut().0;
                    for (((out, r), g), b) in out.iter_mut().zip(r).zip(g).zip(b) {
                        *out = [level(*r), level(*g), level(*b)];
                    }
                },
            ),
        }
        Ok(())
    }
}
