//! Views made on the device that trains (feature `burn`), for when the device would wait for the
//! CPU.
//!
//! The CPU draws one [`ViewParams`] for each view, as for a view that it renders itself. The device
//! gets the images' bytes and these few numbers. Crop, resize and flip are two matrices per view,
//! `A_y · image · A_xᵀ`, and so is the blur. So the device computes batched matrix products and
//! operations on single pixels. Values are those of the CPU's views up to rounding.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::pixels::PixelOp;
use crate::{GaussianBlur, Interpolation, ViewConfig, ViewParams};

/// Images on a device, `[batch, 3, height, width]` in `[0, 255]`, from their bytes.
///
/// `pixels`: `[batch, height, width, 3]`. An image smaller than others of the batch lies in the
/// upper left corner. The values beyond it do not matter.
///
/// # Panics
/// If `pixels` has another number of bytes than `shape` says.
pub fn images_on_device(pixels: Vec<u8>, shape: [usize; 3], device: &Device) -> Tensor<4> {
    let [batch, height, width] = shape;
    let shape = [batch, height, width, 3];
    let images = if device.supports_dtype(DType::U8) {
        let bytes = TensorData::new(pixels, shape);
        Tensor::<4, Int>::from_data(bytes, (device, DType::U8)).float()
    } else {
        let values: Vec<f32> = pixels.into_iter().map(f32::from).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    };
    images.permute([0, 3, 1, 2])
}

impl ViewConfig {
    /// Makes the views that were drawn, one of each image.
    ///
    /// - `images`: `[batch, 3, height, width]` in `[0, 255]`, see [`images_on_device`].
    /// - `drawn`: for each image in turn.
    /// - returns `[batch, 3, size, size]`, normalised.
    ///
    /// # Panics
    /// If `drawn` has another length than the batch.
    pub fn render_on_device(&self, images: Tensor<4>, drawn: &[ViewParams]) -> Tensor<4> {
        let [batch, _, height, width] = images.dims();
        assert_eq!(drawn.len(), batch, "a view is drawn for each image");
        let side = self.size as usize;
        let device = images.device();
        let numbers = Numbers::new(drawn, self, &device);

        let window = |first, length, flip, pixels| Resize {
            first: numbers.column(first),
            length: numbers.column(length),
            flip: numbers.column(flip),
            pixels,
            side,
            kernel: self.interpolation,
        };
        let down = window(Column::Y, Column::Height, Column::Zero, height).matrix(&device);
        let across = window(Column::X, Column::Width, Column::Flip, width).matrix(&device);
        let mut views = between(down.div_scalar(255.0), images, across);
        if self.interpolation == Interpolation::Bicubic {
            views = views.clamp(0.0, 1.0);
        }

        for slot in 0..4 {
            let at = |column| numbers.column(column).unsqueeze_dim::<4>(3);
            views = blend(
                views,
                at(Column::Factor(slot)),
                at(Column::Mean(slot)),
                at(Column::Luma(slot)),
            );
            if drawn.iter().any(|params| part(params, slot).sextants != 0.0) {
                views = turn_hue(views, at(Column::Sextants(slot)));
            }
        }
        if drawn.iter().any(|params| params.grayscale) {
            let grey = luma(&views);
            let share = numbers.column(Column::Grayscale).unsqueeze_dim::<4>(3);
            views = views.clone() + (grey - views) * share;
        }
        let widest = drawn.iter().filter_map(|params| params.blur).map(GaussianBlur::radius).max();
        if let Some(radius) = widest.filter(|_| side > 1) {
            let blur = numbers.blur(side, radius, &device);
            views = between(blur.clone(), views, blur);
        }
        if drawn.iter().any(|params| params.solarize) {
            let threshold = numbers.column(Column::Threshold).unsqueeze_dim::<4>(3);
            let inverted = views.clone().neg().add_scalar(1.0);
            let bright = views.clone().greater_equal(threshold.expand(views.dims()));
            views = views.mask_where(bright, inverted);
        }
        let channels =
            |values: [f32; 3]| Tensor::<1>::from_floats(values, &device).reshape([1, 3, 1, 1]);
        (views - channels(self.mean)) / channels(self.std)
    }
}

/// `a · x · bᵀ` for every channel: `a` `[batch, out, height]`, `x` `[batch, 3, height, width]`, `b`
/// `[batch, out, width]`.
fn between(a: Tensor<3>, x: Tensor<4>, b: Tensor<3>) -> Tensor<4> {
    a.unsqueeze_dim::<4>(1).matmul(x).matmul(b.unsqueeze_dim::<4>(1).transpose())
}

/// Part of a jitter, as the device computes it: `factor · x + (1 − factor) · other`, then a turn of
/// the hue. `other` is 0 for brightness, the mean luma for contrast and the luma for saturation.
struct Part {
    factor: f32,
    mean: f32,
    luma: f32,
    sextants: f32,
}

/// What comes at place `slot` of a view's jitter.
fn part(params: &ViewParams, slot: usize) -> Part {
    let nothing = Part { factor: 1.0, mean: 0.0, luma: 0.0, sextants: 0.0 };
    let Some(jitter) = params.jitter else { return nothing };
    match jitter.pixel_ops()[slot] {
        PixelOp::Brightness(factor) => Part { factor, ..nothing },
        PixelOp::Contrast(factor) => Part { factor, mean: 1.0, ..nothing },
        PixelOp::Saturation(factor) => Part { factor, luma: 1.0, ..nothing },
        PixelOp::Hue(turns) => Part { sextants: 6.0 * (turns - turns.floor()), ..nothing },
        PixelOp::Grayscale | PixelOp::Solarize(_) => nothing,
    }
}

/// One number for each view.
#[derive(Clone, Copy)]
enum Column {
    Zero,
    X,
    Y,
    Width,
    Height,
    Flip,
    Grayscale,
    Threshold,
    /// −1 / 2σ²
    Exponent,
    /// The radius of a blur in pixels.
    Radius,
    /// The factor that makes the blur's kernel sum to 1.
    Share,
    Factor(usize),
    Mean(usize),
    Luma(usize),
    Sextants(usize),
}

impl Column {
    const COUNT: usize = 11 + 4 * 4;

    fn index(self) -> usize {
        match self {
            Self::Zero => 0,
            Self::X => 1,
            Self::Y => 2,
            Self::Width => 3,
            Self::Height => 4,
            Self::Flip => 5,
            Self::Grayscale => 6,
            Self::Threshold => 7,
            Self::Exponent => 8,
            Self::Radius => 9,
            Self::Share => 10,
            Self::Factor(slot) => 11 + 4 * slot,
            Self::Mean(slot) => 12 + 4 * slot,
            Self::Luma(slot) => 13 + 4 * slot,
            Self::Sextants(slot) => 14 + 4 * slot,
        }
    }
}

/// All that was drawn for a batch, in one transfer.
struct Numbers(Tensor<2>);

impl Numbers {
    fn new(drawn: &[ViewParams], config: &ViewConfig, device: &Device) -> Self {
        let mut values = vec![0f32; drawn.len() * Column::COUNT];
        for (row, params) in values.chunks_exact_mut(Column::COUNT).zip(drawn) {
            let mut set = |column: Column, value: f32| row[column.index()] = value;
            set(Column::X, params.crop.x as f32);
            set(Column::Y, params.crop.y as f32);
            set(Column::Width, params.crop.width as f32);
            set(Column::Height, params.crop.height as f32);
            set(Column::Flip, f32::from(u8::from(params.flip)));
            set(Column::Grayscale, f32::from(u8::from(params.grayscale)));
            // No value is as large as 2.
            set(Column::Threshold, if params.solarize { config.solarize_threshold } else { 2.0 });
            // A bell as narrow as this leaves every pixel as it is.
            let sigma = params.blur.unwrap_or(0.01);
            let radius = GaussianBlur::radius(sigma);
            let exponent = -1.0 / (2.0 * sigma * sigma);
            let bell = |distance: usize| (exponent * (distance * distance) as f32).exp();
            let total = bell(0) + 2.0 * (1..=radius).map(bell).sum::<f32>();
            set(Column::Exponent, exponent);
            set(Column::Radius, radius as f32);
            set(Column::Share, 1.0 / total);
            for slot in 0..4 {
                let Part { factor, mean, luma, sextants } = part(params, slot);
                set(Column::Factor(slot), factor);
                set(Column::Mean(slot), mean);
                set(Column::Luma(slot), luma);
                set(Column::Sextants(slot), sextants);
            }
        }
        let shape = [drawn.len(), Column::COUNT];
        Self(Tensor::from_data(TensorData::new(values, shape), device))
    }

    /// `[batch, 1, 1]`
    fn column(&self, column: Column) -> Tensor<3> {
        self.0.clone().narrow(1, column.index(), 1).unsqueeze_dim(2)
    }

    /// The matrix of the blur, `[batch, side, side]`. Borders are reflected without repeating the
    /// edge pixel. No view's blur reaches further than `radius`.
    fn blur(&self, side: usize, radius: usize, device: &Device) -> Tensor<3> {
        let (to, from) = (rows(side, device), columns(side, device));
        // Beyond the borders the pixels continue to and fro with this period. Place v is pixel v,
        // −v, and every place whole periods away.
        let period = 2 * (side - 1);
        let bell = |distance: Tensor<3>| {
            let within = distance.clone().abs().lower_equal(self.column(Column::Radius)).float();
            (distance.square() * self.column(Column::Exponent)).exp() * within
        };
        let periods = (side - 1 + radius).div_ceil(period) as i64;
        let mut matrix: Option<Tensor<3>> = None;
        let mut add = |part: Tensor<3>| {
            matrix = Some(match matrix.take() {
                Some(sum) => sum + part,
                None => part,
            });
        };
        // A pixel at the edge is its own mirror image.
        let inner = from.clone().greater_elem(0.0).float()
            * from.clone().lower_elem((side - 1) as f32).float();
        for k in -periods..=periods {
            let shift = (k * period as i64) as f32;
            let reach = |distance: i64| distance <= radius as i64;
            let away = k.abs() * period as i64;
            if reach(away - (side as i64 - 1)) {
                add(bell((to.clone() - from.clone()).sub_scalar(shift)));
            }
            // i + j is from 1 to 2 · side − 3 where j is not at an edge.
            let (least, most) = (1 - k * period as i64, 2 * side as i64 - 3 - k * period as i64);
            if side > 2 && reach(least) && reach(-most) {
                add(bell((to.clone() + from.clone()).sub_scalar(shift)) * inner.clone());
            }
        }
        let matrix = matrix.expect("every pixel is near itself");
        matrix * self.column(Column::Share)
    }
}

/// `0, 1, …` down a column, `[1, length, 1]`.
fn rows(length: usize, device: &Device) -> Tensor<3> {
    Tensor::<1, Int>::arange(0..length as i64, device).float().reshape([1, length, 1])
}

/// `0, 1, …` along a row, `[1, 1, length]`.
fn columns(length: usize, device: &Device) -> Tensor<3> {
    Tensor::<1, Int>::arange(0..length as i64, device).float().reshape([1, 1, length])
}

/// A resize of a window of each image in one direction. All tensors are `[batch, 1, 1]`.
struct Resize {
    /// First pixel of the window.
    first: Tensor<3>,
    /// Its pixels.
    length: Tensor<3>,
    /// 1 to mirror, else 0.
    flip: Tensor<3>,
    /// Of the image.
    pixels: usize,
    /// Of the result.
    side: usize,
    kernel: Interpolation,
}

impl Resize {
    /// The weight of each pixel for each pixel of the result, `[batch, side, pixels]`. Rows sum
    /// to 1.
    fn matrix(self, device: &Device) -> Tensor<3> {
        let Self { first, length, flip, pixels, side, kernel } = self;
        let scale = length.clone().div_scalar(side as f32);
        let stretch = scale.clone().clamp_min(1.0);
        let place = rows(side, device);
        let mirrored = place.clone().mul_scalar(-2.0).add_scalar(side as f32 - 1.0);
        let centre = (place + mirrored * flip).add_scalar(0.5) * scale;
        let pixel = columns(pixels, device) - first;
        let inside =
            pixel.clone().greater_equal_elem(0.0).float() * pixel.clone().lower(length).float();
        let distance = ((pixel.add_scalar(0.5) - centre) / stretch).abs();
        let weights = kernel_weights(kernel, distance) * inside;
        weights.clone() / weights.sum_dim(2)
    }
}

/// [`Interpolation`]'s kernel at distances of at least 0.
fn kernel_weights(kernel: Interpolation, distance: Tensor<3>) -> Tensor<3> {
    match kernel {
        Interpolation::Bilinear => distance.neg().add_scalar(1.0).clamp_min(0.0),
        Interpolation::Bicubic => {
            const A: f32 = -0.5;
            let d = distance;
            let near = (d.clone().mul_scalar(A + 2.0).sub_scalar(A + 3.0) * d.clone().square())
                .add_scalar(1.0);
            let cubic = (d.clone().sub_scalar(5.0) * d.clone()).add_scalar(8.0) * d.clone();
            let far = cubic.sub_scalar(4.0).mul_scalar(A);
            let far = far.mask_fill(d.clone().greater_equal_elem(2.0), 0.0);
            far.mask_where(d.lower_elem(1.0), near)
        }
    }
}

/// Luma, `[batch, 1, height, width]`.
fn luma(images: &Tensor<4>) -> Tensor<4> {
    let [r, g, b] = [0, 1, 2].map(|channel| images.clone().narrow(1, channel, 1));
    r.mul_scalar(0.299) + g.mul_scalar(0.587) + b.mul_scalar(0.114)
}

/// See [`Part`]; the numbers are `[batch, 1, 1, 1]`.
fn blend(images: Tensor<4>, factor: Tensor<4>, mean: Tensor<4>, of_luma: Tensor<4>) -> Tensor<4> {
    let grey = luma(&images);
    let average = grey.clone().mean_dim(2).mean_dim(3);
    let other = (grey * of_luma + average * mean) * factor.clone().neg().add_scalar(1.0);
    (images * factor + other).clamp(0.0, 1.0)
}

/// Turns the hue, keeping HSV saturation and value, by the formulas of the CPU's views.
fn turn_hue(images: Tensor<4>, sextants: Tensor<4>) -> Tensor<4> {
    let [r, g, b] = [0, 1, 2].map(|channel| images.clone().narrow(1, channel, 1));
    let max = r.clone().max_pair(g.clone()).max_pair(b.clone());
    let min = r.clone().min_pair(g.clone()).min_pair(b.clone());
    let chroma = max.clone() - min.clone();
    // A grey pixel has no hue, and keeps its colour whatever this is.
    let inverse = chroma.clone().mask_fill(chroma.clone().lower_equal_elem(0.0), 1.0).recip();
    let from_blue = ((r.clone() - g.clone()) * inverse.clone()).add_scalar(4.0);
    let from_green = ((b.clone() - r.clone()) * inverse.clone()).add_scalar(2.0);
    let from_red = (g.clone() - b) * inverse;
    let sextant =
        from_blue.mask_where(max.clone().equal(g), from_green).mask_where(max.equal(r), from_red);
    let hue = sextant + sextants;
    let hue = hue.clone() - hue.div_scalar(6.0).floor().mul_scalar(6.0);
    let trapezium =
        |t: Tensor<4>| (min.clone() + chroma.clone() * t.clamp(0.0, 1.0)).clamp_max(1.0);
    let off = |centre: f32| hue.clone().sub_scalar(centre).abs();
    Tensor::cat(
        vec![
            trapezium(off(3.0).sub_scalar(1.0)),
            trapezium(off(2.0).neg().add_scalar(2.0)),
            trapezium(off(4.0).neg().add_scalar(2.0)),
        ],
        1,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{RgbSource, ViewBuffer, ViewKey};

    /// Smooth, with some noise, so that neither crops nor hues are degenerate.
    fn picture(seed: u64, width: u32, height: u32) -> Vec<u8> {
        let pixel = |i: u32| {
            let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
            let wave = (0.3 * x as f32 + 0.2 * y as f32 + 2.0 * c as f32 + seed as f32).sin();
            let noise = (u64::from(i) + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59;
            (110.0 + 90.0 * wave + noise as f32) as u8
        };
        (0..3 * width * height).map(pixel).collect()
    }

    /// Views of a batch of images, each as large as given, on both.
    fn both(config: &ViewConfig, sizes: &[(u32, u32)], seed: u64) -> (Vec<f32>, Vec<f32>) {
        let side = config.size as usize;
        let largest = |of: fn(&(u32, u32)) -> u32| sizes.iter().map(of).max().unwrap() as usize;
        let (width, height) = (largest(|size| size.0), largest(|size| size.1));
        // What is beyond an image does not matter.
        let mut padded = vec![255u8; sizes.len() * height * width * 3];
        let mut on_cpu = vec![0f32; sizes.len() * 3 * side * side];
        let mut drawn = Vec::new();
        for (i, (w, h)) in sizes.iter().enumerate() {
            let image = picture(seed + i as u64, *w, *h);
            let row = 3 * *w as usize;
            for (y, line) in image.chunks(row).enumerate() {
                padded[((i * height + y) * width * 3)..][..row].copy_from_slice(line);
            }
            let mut rng = ViewKey { seed, epoch: 0, image: i as u64, view: 0 }.rng();
            let params = config.draw(*w, *h, &mut rng);
            let source = RgbSource::new(&image, *w, *h).unwrap();
            let out = &mut on_cpu[i * 3 * side * side..][..3 * side * side];
            config.render(source, &params, ViewBuffer::Planar(out)).unwrap();
            drawn.push(params);
        }
        let images = images_on_device(padded, [sizes.len(), height, width], &Device::flex());
        let views = config.render_on_device(images, &drawn);
        assert_eq!(views.dims(), [sizes.len(), 3, side, side]);
        (views.into_data().try_into_vec().unwrap(), on_cpu)
    }

    fn config(size: u32) -> ViewConfig {
        ViewConfig { size, mean: [0.5; 3], std: [0.25; 3], ..ViewConfig::default() }
    }

    /// A few values near a threshold fall on the other side of it, and so do a few hues.
    fn near(device: &[f32], cpu: &[f32], far: usize) {
        let apart: Vec<_> =
            device.iter().zip(cpu).filter(|(a, b)| (*a - *b).abs() > 2e-4).collect();
        assert!(apart.len() <= far, "{} of {}: {:?}", apart.len(), cpu.len(), apart.first());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn crops_flips_and_blurs_are_those_of_the_cpu(
            seed in any::<u32>(),
            size in 1u32..24,
            bicubic in any::<bool>(),
            sizes in prop::collection::vec((1u32..40, 1u32..40), 1..4),
        ) {
            let interpolation =
                if bicubic { Interpolation::Bicubic } else { Interpolation::Bilinear };
            let config = ViewConfig {
                jitter_probability: 0.0,
                grayscale_probability: 0.0,
                blur_probability: 0.7,
                interpolation,
                ..config(size)
            };
            let (device, cpu) = both(&config, &sizes, u64::from(seed));
            near(&device, &cpu, 0);
        }

        #[test]
        fn whole_views_are_those_of_the_cpu(
            seed in any::<u32>(),
            sizes in prop::collection::vec((4u32..40, 4u32..40), 4),
        ) {
            let config =
                ViewConfig { blur_probability: 0.5, solarize_probability: 0.5, ..config(16) };
            let (device, cpu) = both(&config, &sizes, u64::from(seed));
            near(&device, &cpu, 4);
        }
    }

    #[test]
    fn nothing_drawn_is_the_normalised_image() {
        let still = ViewConfig {
            crop_scale: [1.0, 1.0],
            crop_ratio: [1.0, 1.0],
            flip_probability: 0.0,
            jitter_probability: 0.0,
            grayscale_probability: 0.0,
            blur_probability: 0.0,
            ..config(8)
        };
        let (device, _) = both(&still, &[(8, 8)], 3);
        let image = picture(3, 8, 8);
        for (i, value) in device.iter().enumerate() {
            let (channel, pixel) = (i / 64, i % 64);
            let expected = (f32::from(image[3 * pixel + channel]) / 255.0 - 0.5) / 0.25;
            assert!((value - expected).abs() < 1e-5, "{value} {expected}");
        }
    }
}
