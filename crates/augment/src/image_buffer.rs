//! The planar image that the operations work on.

use crate::aligned::Aligned;

/// The image that transforms work on: planar `f32` RGB in `[0, 1]`.
///
/// With planes, every operation runs over contiguous memory, and the result has the order that a
/// network takes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Image {
    width: usize,
    height: usize,
    /// `[3, height, width]`
    data: Aligned,
}

impl Image {
    /// An image of one colour.
    pub fn filled(width: usize, height: usize, rgb: [f32; 3]) -> Self {
        let mut image = Self::default();
        image.reset(width, height);
        for (plane, value) in image.planes_mut().into_iter().zip(rgb) {
            plane.fill(value);
        }
        image
    }

    /// In pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// In pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// `[3, height, width]`, row-major.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// `[3, height, width]`, row-major.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The red, green and blue planes, `height · width` each.
    pub fn planes_mut(&mut self) -> [&mut [f32]; 3] {
        let (r, rest) = self.data.split_at_mut(self.width * self.height);
        let (g, b) = rest.split_at_mut(self.width * self.height);
        [r, g, b]
    }

    /// The red, green and blue planes, `height · width` each.
    pub fn planes(&self) -> [&[f32]; 3] {
        let (r, rest) = self.data.split_at(self.width * self.height);
        let (g, b) = rest.split_at(self.width * self.height);
        [r, g, b]
    }

    /// Changes the size and keeps the allocation. The pixels are then unspecified.
    pub(crate) fn reset(&mut self, width: usize, height: usize) {
        self.width = width;
        self.height = height;
        self.data.resize(3 * width * height);
    }
}
