//! The sizes of a convolution.

/// The sizes of one convolution with a square kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    pub batch: usize,
    pub channels_in: usize,
    pub channels_out: usize,
    pub height: usize,
    pub width: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Below `kernel`.
    pub padding: usize,
    /// Divides both numbers of channels.
    pub groups: usize,
}

impl Geometry {
    pub fn height_out(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    pub fn width_out(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Elements of one input image.
    pub fn input(&self) -> usize {
        self.channels_in * self.height * self.width
    }

    /// Elements of one output image.
    pub fn output(&self) -> usize {
        self.channels_out * self.height_out() * self.width_out()
    }

    /// Input channels of a group.
    pub fn group_in(&self) -> usize {
        self.channels_in / self.groups
    }

    /// Output channels of a group.
    pub fn group_out(&self) -> usize {
        self.channels_out / self.groups
    }

    /// Kernel positions.
    pub fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Elements of the weight.
    pub fn weight(&self) -> usize {
        self.channels_out * self.group_in() * self.taps()
    }
}
