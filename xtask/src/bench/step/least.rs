//! The fewest bytes that a step of a ResNet can move, layer by layer.

use selfsame_models::{Architecture, Stem};

/// The network.
#[derive(Clone, Copy)]
pub struct Work {
    pub architecture: Architecture,
    pub stem: Stem,
    pub width: usize,
    pub batch: usize,
    pub size: usize,
    /// Bytes of a number between layers.
    pub activation: u64,
}

/// Bytes of a weight, of its gradient.
const WEIGHT: u64 = 4;

/// Every layer reads each of its inputs once and writes each of its outputs once, forward and
/// backward: a convolution's output, its two gradients, and batch norm with the ReLU and the
/// residual that belong to it as one layer. Batch norm reads what it normalises twice forward, for
/// the statistics and for the result, and twice backward. Then SGD without momentum. The head is
/// left out: it is small.
pub fn least_bytes(work: &Work) -> u64 {
    let mut sum = Sum { work, bytes: 0 };
    let (bottleneck, depths) = match work.architecture {
        Architecture::ResNet18 => (false, [2, 2, 2, 2]),
        Architecture::ResNet34 => (false, [3, 4, 6, 3]),
        Architecture::ResNet50 => (true, [3, 4, 6, 3]),
    };
    let (kernel, mut side) = match work.stem {
        Stem::Cifar => (3, work.size),
        Stem::ImageNet => (7, work.size.div_ceil(2)),
    };
    let images = (3, work.size);
    sum.convolution(images, (work.width, side), kernel, false);
    sum.norm((work.width, side), false);
    if work.stem == Stem::ImageNet {
        let pooled = side.div_ceil(2);
        sum.pool((work.width, side), (work.width, pooled));
        side = pooled;
    }
    let mut input = (work.width, side);
    for (stage, depth) in depths.into_iter().enumerate() {
        let width = work.width << stage;
        for block in 0..depth {
            let side = if stage > 0 && block == 0 { input.1.div_ceil(2) } else { input.1 };
            let inner = (width, side);
            let output = if bottleneck { (4 * width, side) } else { inner };
            if bottleneck {
                sum.unit(input, (width, input.1), 1, false);
                sum.unit((width, input.1), inner, 3, false);
                sum.unit(inner, output, 1, true);
            } else {
                sum.unit(input, inner, 3, false);
                sum.unit(inner, output, 3, true);
            }
            if input != output {
                sum.unit(input, output, 1, false);
            }
            // The gradients of both paths meet.
            sum.bytes += sum.activations(input);
            input = output;
        }
    }
    sum.pool(input, (input.0, 1));
    sum.bytes
}

/// The shape: channels, and height and width.
type Map = (usize, usize);

struct Sum<'a> {
    work: &'a Work,
    bytes: u64,
}

impl Sum<'_> {
    fn activations(&self, (channels, side): Map) -> u64 {
        (self.work.batch * channels * side * side) as u64 * self.work.activation
    }

    /// Convolution and batch norm.
    fn unit(&mut self, from: Map, to: Map, kernel: usize, residual: bool) {
        self.convolution(from, to, kernel, true);
        self.norm(to, residual);
    }

    fn convolution(&mut self, from: Map, to: Map, kernel: usize, input_gradient: bool) {
        let (x, y) = (self.activations(from), self.activations(to));
        let weights = (from.0 * to.0 * kernel * kernel) as u64 * WEIGHT;
        let products = if input_gradient { 3 } else { 2 };
        self.bytes += products * (x + y + weights);
        // SGD: weights and gradients in, weights out.
        self.bytes += 3 * weights;
    }

    fn norm(&mut self, map: Map, residual: bool) {
        let y = self.activations(map);
        // Forward y twice and the result; backward twice y and the result's gradient, and y's
        // gradient.
        self.bytes += (3 + 5) * y;
        if residual {
            // In forward; its gradient out backward.
            self.bytes += 2 * y;
        }
    }

    fn pool(&mut self, from: Map, to: Map) {
        self.bytes += 2 * (self.activations(from) + self.activations(to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work {
        architecture: Architecture::ResNet18,
        stem: Stem::Cifar,
        width: 64,
        batch: 512,
        size: 32,
        activation: 2,
    };

    #[test]
    fn activations_grow_with_the_batch_and_weights_do_not() {
        let of = |batch| least_bytes(&Work { batch, ..WORK });
        let (one, two, three) = (of(1), of(2), of(3));
        assert_eq!(two - one, three - two);
        // ResNet-18 without its head: 11.17 million weights, each touched six times, the first
        // layer's five times.
        let weights = one - (two - one);
        assert!((weights as f64 / (6.0 * 4.0 * 11.16e6) - 1.0).abs() < 0.01, "{weights}");
    }

    #[test]
    fn bf16_halves_what_is_between_the_layers() {
        let of = |activation, batch| least_bytes(&Work { activation, batch, ..WORK });
        assert_eq!(of(4, 2) - of(4, 1), 2 * (of(2, 2) - of(2, 1)));
    }

    #[test]
    fn every_architecture_has_its_own() {
        let of = |architecture| {
            least_bytes(&Work { architecture, stem: Stem::ImageNet, size: 224, ..WORK })
        };
        let [small, middle, large] =
            [Architecture::ResNet18, Architecture::ResNet34, Architecture::ResNet50].map(of);
        assert!(small < middle && middle < large);
    }
}
