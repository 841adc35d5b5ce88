//! How a launch covers `[positions, channels]`; sums over positions.

use burn_cubecl::cubecl;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::prelude::*;

/// The most partial sums per channel. Each cube of the next launch reads all of them.
const MAX_PARTS: usize = 128;

/// Units of one cube, if the device allows it.
const UNITS: usize = 256;

/// A launch over the rows of `[positions, channels]`. Neighbouring units take neighbouring vectors
/// of channels. So they read one stretch of memory.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// Pixels of all images.
    pub positions: usize,
    /// Channels of one vector.
    pub vector: usize,
    /// Vectors of one position.
    pub columns: usize,
    /// Units of a cube along the channels.
    pub lanes: usize,
    /// Units of a cube along the positions, a power of two.
    pub rows: usize,
    /// Cubes along the positions.
    pub parts: usize,
}

impl Grid {
    /// For tensors of this element size that all have `channels` last.
    pub fn new(client: &Client, positions: usize, channels: usize, element_size: usize) -> Self {
        let vector = vector(client, channels, element_size);
        let columns = channels / vector;
        let hardware = &client.properties().hardware;
        let units = units(client);
        let lanes = columns.next_power_of_two().min(32).min(units);
        let rows = previous_power_of_two((units / lanes).min(positions.next_power_of_two()));
        let processors = hardware.num_streaming_multiprocessors.unwrap_or(16) as usize;
        let wanted = (4 * processors).div_ceil(columns.div_ceil(lanes));
        // If the units of a cube have only a handful of positions each, the cube spends more time
        // on adding up the units' sums than on the positions.
        let useful = positions.div_ceil(4 * rows);
        let parts = wanted.min(useful).clamp(1, MAX_PARTS);
        Self { positions, vector, columns, lanes, rows, parts }
    }

    /// Units of a cube.
    pub fn units(&self) -> usize {
        self.lanes * self.rows
    }

    pub fn cube_dim(&self) -> CubeDim {
        CubeDim::new_2d(self.lanes as u32, self.rows as u32)
    }

    pub fn cube_count(&self) -> CubeCount {
        CubeCount::Static(self.columns.div_ceil(self.lanes) as u32, self.parts as u32, 1)
    }
}

/// Channels that a unit reads at once: the largest number that divides the channels and that the
/// device reads well.
pub fn vector(client: &Client, channels: usize, element_size: usize) -> usize {
    let sizes = client.io_optimized_vector_sizes(element_size);
    sizes.filter(|size| channels.is_multiple_of(*size)).max().unwrap_or(1)
}

/// Units of one cube, for a kernel that sums over the units.
pub fn units(client: &Client) -> usize {
    UNITS.min(client.properties().hardware.max_units_per_cube as usize).max(1)
}

pub fn previous_power_of_two(n: usize) -> usize {
    if n.is_power_of_two() { n } else { n.next_power_of_two() / 2 }
}

/// The tensor's buffer as an argument.
pub fn buffer(x: &CubeTensor) -> BufferArg {
    x.clone().into_buffer_arg()
}

/// The sum of `value` over the units of a cube with the same `UNIT_POS_X`. All of them get the same
/// result.
///
/// Every unit of the cube must call it. The order of the additions is fixed.
#[cube]
pub fn sum_over_rows<N: Size>(
    value: Vector<f32, N>,
    #[comptime] units: usize,
    #[comptime] rows: usize,
) -> Vector<f32, N> {
    let mut shared = Shared::<[Vector<f32, N>]>::new_slice(units);
    let lanes = comptime!(units / rows);
    let row = UNIT_POS_Y as usize;
    let lane = UNIT_POS_X as usize;
    let at = row * lanes + lane;
    shared[at] = value;
    sync_cube();
    let mut half = comptime!(rows / 2).runtime();
    while half > 0 {
        if row < half {
            let other = shared[at + half * lanes];
            shared[at] += other;
        }
        sync_cube();
        half /= 2;
    }
    let sum = shared[lane];
    // The next call must not overwrite the sums before all units have read them.
    sync_cube();
    sum
}

/// The value at `at`, or 0 if there is no tensor.
#[cube]
pub fn value_or_zero<F: Float, N: Size>(
    values: &ComptimeOption<&[Vector<F, N>]>,
    at: usize,
) -> Vector<f32, N> {
    #[comptime]
    let value = match values {
        ComptimeOption::Some(values) => Vector::<f32, N>::cast_from(values[at]),
        ComptimeOption::None => Vector::<f32, N>::new(0.0),
    };
    value
}
