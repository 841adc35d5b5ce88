//! The window of a random resized crop.

use rand::RngExt;

use super::uniform;
use crate::ViewRng;

/// A rectangle of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CropWindow {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// At least 1.
    pub width: u32,
    /// At least 1.
    pub height: u32,
}

impl CropWindow {
    /// The part that lies within an image of the given size, at least 1×1.
    pub(crate) fn within(self, width: u32, height: u32) -> Self {
        let x = self.x.min(width - 1);
        let y = self.y.min(height - 1);
        Self {
            x,
            y,
            width: self.width.clamp(1, width - x),
            height: self.height.clamp(1, height - y),
        }
    }
}

/// Draws the window of a random resized crop (Szegedy et al., 2015) by torchvision's algorithm.
///
/// The area is uniform in `scale` (share of the image), the aspect ratio log-uniform in `ratio`. A
/// rectangle that does not fit is drawn again. After ten tries the window is the largest central
/// crop with an allowed ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomResizedCrop {
    /// Smallest and largest share of the area.
    pub scale: [f32; 2],
    /// Smallest and largest width over height.
    pub ratio: [f32; 2],
}

impl RandomResizedCrop {
    const TRIES: usize = 10;

    /// Draws a window of an image of `width × height` pixels, both at least 1.
    pub fn sample(&self, width: u32, height: u32, rng: &mut ViewRng) -> CropWindow {
        let area = width as f32 * height as f32;
        let log_ratio = self.ratio.map(f32::ln);
        for _ in 0..Self::TRIES {
            let target = area * uniform(self.scale, rng);
            let ratio = uniform(log_ratio, rng).exp();
            let w = (target * ratio).sqrt().round() as u32;
            let h = (target / ratio).sqrt().round() as u32;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let y = rng.random_range(0..=height - h);
                let x = rng.random_range(0..=width - w);
                return CropWindow { x, y, width: w, height: h };
            }
        }
        self.fallback(width, height)
    }

    fn fallback(&self, width: u32, height: u32) -> CropWindow {
        let ratio = width as f32 / height as f32;
        let (w, h) = if ratio < self.ratio[0] {
            (width, (width as f32 / self.ratio[0]).round() as u32)
        } else if ratio > self.ratio[1] {
            ((height as f32 * self.ratio[1]).round() as u32, height)
        } else {
            (width, height)
        };
        let (w, h) = (w.clamp(1, width), h.clamp(1, height));
        CropWindow { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ViewKey;

    fn rng(image: u64) -> ViewRng {
        ViewKey { seed: 0, epoch: 0, image, view: 0 }.rng()
    }

    #[test]
    fn area_is_uniform_and_ratio_symmetric_in_its_logarithm() {
        let crop = RandomResizedCrop { scale: [0.08, 0.5], ratio: [0.75, 4.0 / 3.0] };
        let (mut area, mut log_ratio) = (0.0, 0.0);
        // A large image, so that rounding is small; up to half of a square nothing is rejected.
        let n = 4000;
        for i in 0..n {
            let w = crop.sample(10_000, 10_000, &mut rng(i));
            assert!(w.x + w.width <= 10_000 && w.y + w.height <= 10_000);
            area += f64::from(w.width) * f64::from(w.height) / 1e8;
            log_ratio += (f64::from(w.width) / f64::from(w.height)).ln();
        }
        assert!((area / n as f64 - 0.29).abs() < 0.01, "{}", area / n as f64);
        assert!((log_ratio / n as f64).abs() < 0.01, "{}", log_ratio / n as f64);
    }

    #[test]
    fn an_image_too_narrow_falls_back_to_the_centre() {
        let crop = RandomResizedCrop { scale: [1.0, 1.0], ratio: [0.75, 4.0 / 3.0] };
        let window = crop.sample(400, 10, &mut rng(0));
        assert_eq!(window, CropWindow { x: 193, y: 0, width: 13, height: 10 });
        assert_eq!(crop.sample(1, 1, &mut rng(0)), CropWindow { x: 0, y: 0, width: 1, height: 1 });
    }
}
