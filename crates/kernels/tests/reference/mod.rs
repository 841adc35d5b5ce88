//! The formulas, written out in f64, with the size of what every result is summed from.

/// A sum and the sum of its terms' absolute values.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    pub value: f64,
    pub magnitude: f64,
}

impl Sum {
    fn add(&mut self, term: f64) {
        self.value += term;
        self.magnitude += term.abs();
    }
}

/// A convolution's sizes.
#[derive(Debug, Clone, Copy)]
pub struct Conv {
    pub batch: usize,
    pub channels_in: usize,
    pub channels_out: usize,
    pub height: usize,
    pub width: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub groups: usize,
}

/// A convolution and its gradients.
pub struct ConvResults {
    pub y: Vec<Sum>,
    pub dx: Vec<Sum>,
    pub dw: Vec<Sum>,
}

impl Conv {
    pub fn x_shape(&self) -> [usize; 4] {
        [self.batch, self.channels_in, self.height, self.width]
    }

    pub fn w_shape(&self) -> [usize; 4] {
        [self.channels_out, self.channels_in / self.groups, self.kernel, self.kernel]
    }

    pub fn y_shape(&self) -> [usize; 4] {
        let out = |side| (side + 2 * self.padding - self.kernel) / self.stride + 1;
        [self.batch, self.channels_out, out(self.height), out(self.width)]
    }

    /// Every product of the sum, once for each of the three results.
    pub fn run(&self, x: &[f32], w: &[f32], dy: &[f32]) -> ConvResults {
        let mut results = ConvResults {
            y: vec![Sum::default(); dy.len()],
            dx: vec![Sum::default(); x.len()],
            dw: vec![Sum::default(); w.len()],
        };
        let [batch, channels_out, height_out, width_out] = self.y_shape();
        let taps = self.kernel * self.kernel;
        for at in 0..batch * channels_out * height_out * width_out {
            let (i, j) = (at / width_out % height_out, at % width_out);
            let (n, o) = (
                at / (channels_out * height_out * width_out),
                at / (height_out * width_out) % channels_out,
            );
            let group_in = self.channels_in / self.groups;
            let first = o / (self.channels_out / self.groups) * group_in;
            for tap in 0..group_in * taps {
                let (c, u, v) = (tap / taps, tap / self.kernel % self.kernel, tap % self.kernel);
                let (Some(row), Some(column)) = (
                    (i * self.stride + u)
                        .checked_sub(self.padding)
                        .filter(|row| *row < self.height),
                    (j * self.stride + v).checked_sub(self.padding).filter(|col| *col < self.width),
                ) else {
                    continue;
                };
                let x_at =
                    ((n * self.channels_in + first + c) * self.height + row) * self.width + column;
                let w_at = o * group_in * taps + tap;
                let (x, w) = (f64::from(x[x_at]), f64::from(w[w_at]));
                let dy = f64::from(dy[at]);
                results.y[at].add(x * w);
                results.dx[x_at].add(dy * w);
                results.dw[w_at].add(dy * x);
            }
        }
        results
    }
}

/// The sizes of a batch norm with residual and ReLU.
#[derive(Debug, Clone, Copy)]
pub struct Norm {
    pub batch: usize,
    pub channels: usize,
    pub plane: usize,
    pub epsilon: f64,
}

/// A batch norm with residual and ReLU, and its gradients.
pub struct NormResults {
    pub y: Vec<Sum>,
    pub mean: Vec<Sum>,
    pub variance: Vec<Sum>,
    pub dx: Vec<Sum>,
    pub dw: Vec<Sum>,
    pub db: Vec<Sum>,
    pub dr: Vec<Sum>,
}

impl Norm {
    /// A ReLU input within rounding of 0 may go either way, so `dy` is set to 0 there.
    ///
    /// Magnitudes take a normalised value for `(|x| + |mean|) / σ`: subtracting the mean cancels.
    pub fn run(
        &self,
        x: &[f32],
        w: &[f32],
        b: &[f32],
        residual: Option<&Vec<f32>>,
        dy: &mut [f32],
    ) -> NormResults {
        let mut results = NormResults {
            y: vec![Sum::default(); x.len()],
            mean: vec![Sum::default(); self.channels],
            variance: vec![Sum::default(); self.channels],
            dx: vec![Sum::default(); x.len()],
            dw: vec![Sum::default(); self.channels],
            db: vec![Sum::default(); self.channels],
            dr: vec![Sum::default(); x.len()],
        };
        let count = (self.batch * self.plane) as f64;
        for c in 0..self.channels {
            let channel: Vec<usize> =
                (0..x.len()).filter(|i| i / self.plane % self.channels == c).collect();
            let (gamma, beta) = (f64::from(w[c]), f64::from(b[c]));
            let mut mean = Sum::default();
            channel.iter().for_each(|&i| mean.add(f64::from(x[i]) / count));
            let mut variance = Sum::default();
            for &i in &channel {
                let apart = f64::from(x[i]) - mean.value;
                variance.value += apart * apart / count;
                variance.magnitude +=
                    apart.abs() * (f64::from(x[i]).abs() + mean.magnitude) / count;
            }
            let inverse = 1.0 / (variance.value + self.epsilon).sqrt();
            // What a normalised value is, and what it is computed from.
            let normalised = |i: usize| Sum {
                value: (f64::from(x[i]) - mean.value) * inverse,
                magnitude: (f64::from(x[i]).abs() + mean.magnitude) * inverse,
            };
            let (mut g_mean, mut gx_mean) = (Sum::default(), Sum::default());
            for &i in &channel {
                let hat = normalised(i);
                let r = residual.map_or(0.0, |r| f64::from(r[i]));
                let y = gamma * hat.value + beta + r;
                let magnitude = gamma.abs() * hat.magnitude + beta.abs() + r.abs();
                results.y[i] = Sum { value: y.max(0.0), magnitude };
                if y.abs() < 1e-5 * magnitude {
                    dy[i] = 0.0;
                }
                let g = if y > 0.0 { f64::from(dy[i]) } else { 0.0 };
                results.dr[i].add(g);
                results.db[c].add(g);
                results.dw[c].value += g * hat.value;
                results.dw[c].magnitude += g.abs() * hat.magnitude;
                g_mean.add(g / count);
                gx_mean.value += g * hat.value / count;
                gx_mean.magnitude += g.abs() * hat.magnitude / count;
            }
            for &i in &channel {
                let (hat, g) = (normalised(i), results.dr[i].value);
                let scale = gamma * inverse;
                results.dx[i] = Sum {
                    value: scale * (g - g_mean.value - hat.value * gx_mean.value),
                    magnitude: scale.abs()
                        * (g.abs() + g_mean.magnitude + hat.magnitude * gx_mean.magnitude),
                };
            }
            (results.mean[c], results.variance[c]) = (mean, variance);
        }
        results
    }
}
