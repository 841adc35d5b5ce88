//! Kernels over many tensors at once.
//!
//! A launch has a table of its jobs. Each job is a run of cubes. A cube works on one stretch of one
//! tensor. It finds its job by comparing its number with the table. So the branch is the same for
//! all units of a cube.

use burn_cubecl::cubecl::{self, prelude::*};

/// Units of a cube; a power of two.
pub const UNITS: usize = 256;

/// Vectors that one unit updates.
pub const UPDATED: usize = 4;

/// Vectors that one unit adds up, or searches.
pub const REDUCED: usize = 16;

/// The place of a job in a launch.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub struct Place {
    /// The job's first cube.
    pub first: u32,
    /// The cube after its last.
    pub end: u32,
    /// Vectors of its tensors.
    pub length: u32,
    /// Its number among all jobs.
    pub job: u32,
}

/// `g ← r (g + λ w)`, `v ← μ v + g`, `w ← w − lr v` (Nesterov: `w ← w − lr (g + μ v)`).
///
/// `velocities` is empty in the first step: the first velocity is g. `new_velocities` is empty
/// without momentum. `rates` has μ, λ, lr and the number of the scale of each job. `scales` is
/// empty or has one array.
#[cube(launch_unchecked)]
pub fn sgd<N: Size>(
    parameters: &Sequence<Box<[Vector<f32, N>]>>,
    gradients: &Sequence<Box<[Vector<f32, N>]>>,
    velocities: &Sequence<Box<[Vector<f32, N>]>>,
    new_parameters: &mut Sequence<Box<[Vector<f32, N>]>>,
    new_velocities: &mut Sequence<Box<[Vector<f32, N>]>>,
    scales: &Sequence<Box<[f32]>>,
    rates: &[f32],
    table: Sequence<Place>,
    #[comptime] nesterov: bool,
) {
    let jobs = comptime![table.len()];
    let moving = comptime![velocities.len() > 0];
    let momentum = comptime![new_velocities.len() > 0];
    let scaled = comptime![scales.len() > 0];
    let cube = CUBE_POS as u32;
    #[unroll]
    for j in 0..jobs {
        let place = table.index(j);
        if cube >= place.first && cube < place.end {
            let row = place.job as usize * 4;
            let mu = Vector::<f32, N>::new(rates[row]);
            let decay = Vector::<f32, N>::new(rates[row + 1]);
            let rate = Vector::<f32, N>::new(rates[row + 2]);
            let mut scale = Vector::<f32, N>::new(1.0f32);
            if scaled {
                let number = rates[row + 3];
                if number >= 0.0f32 {
                    scale = Vector::<f32, N>::new(scales.index(0)[u32::cast_from(number) as usize]);
                }
            }
            let start = (cube - place.first) as usize * (UNITS * UPDATED) + UNIT_POS as usize;
            #[unroll]
            for k in 0..UPDATED {
                let i = start + k * UNITS;
                if i < place.length as usize {
                    let w = parameters.index(j)[i];
                    let g = scale * (gradients.index(j)[i] + decay * w);
                    let v = if moving { mu * velocities.index(j)[i] + g } else { g };
                    let direction = if nesterov { g + mu * v } else { v };
                    new_parameters.index_mut(j)[i] = w - rate * direction;
                    if momentum {
                        new_velocities.index_mut(j)[i] = v;
                    }
                }
            }
        }
    }
}

/// `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`, `w ← (1 − lr λ) w − lr m̂ / (√v̂ + ε)`.
///
/// `first` is m and `second` is v; both are empty before the first step. For each job, `rates` has
/// β₁, 1 − β₁, β₂, 1 − β₂, 1 − β₁ᵗ, 1 − β₂ᵗ, ε, lr and 1 − lr λ.
#[cube(launch_unchecked)]
pub fn adamw<N: Size>(
    parameters: &Sequence<Box<[Vector<f32, N>]>>,
    gradients: &Sequence<Box<[Vector<f32, N>]>>,
    first: &Sequence<Box<[Vector<f32, N>]>>,
    second: &Sequence<Box<[Vector<f32, N>]>>,
    new_parameters: &mut Sequence<Box<[Vector<f32, N>]>>,
    new_first: &mut Sequence<Box<[Vector<f32, N>]>>,
    new_second: &mut Sequence<Box<[Vector<f32, N>]>>,
    rates: &[f32],
    table: Sequence<Place>,
) {
    let jobs = comptime![table.len()];
    let moving = comptime![first.len() > 0];
    let cube = CUBE_POS as u32;
    #[unroll]
    for j in 0..jobs {
        let place = table.index(j);
        if cube >= place.first && cube < place.end {
            let row = place.job as usize * 9;
            let start = (cube - place.first) as usize * (UNITS * UPDATED) + UNIT_POS as usize;
            #[unroll]
            for k in 0..UPDATED {
                let i = start + k * UNITS;
                if i < place.length as usize {
                    let g = gradients.index(j)[i];
                    let mut m = Vector::<f32, N>::new(rates[row + 1]) * g;
                    let mut v = Vector::<f32, N>::new(rates[row + 3]) * (g * g);
                    if moving {
                        m += Vector::<f32, N>::new(rates[row]) * first.index(j)[i];
                        v += Vector::<f32, N>::new(rates[row + 2]) * second.index(j)[i];
                    }
                    let spread = (v / Vector::<f32, N>::new(rates[row + 5])).sqrt();
                    let direction = (m / Vector::<f32, N>::new(rates[row + 4]))
                        / (spread + Vector::<f32, N>::new(rates[row + 6]));
                    let kept = Vector::<f32, N>::new(rates[row + 8]) * parameters.index(j)[i];
                    new_parameters.index_mut(j)[i] =
                        kept - Vector::<f32, N>::new(rates[row + 7]) * direction;
                    new_first.index_mut(j)[i] = m;
                    new_second.index_mut(j)[i] = v;
                }
            }
        }
    }
}

/// `τ a + (1 − τ) b`; `rates` has τ and 1 − τ.
#[cube(launch_unchecked)]
pub fn moving_average<N: Size>(
    averages: &Sequence<Box<[Vector<f32, N>]>>,
    values: &Sequence<Box<[Vector<f32, N>]>>,
    new_averages: &mut Sequence<Box<[Vector<f32, N>]>>,
    rates: &[f32],
    table: Sequence<Place>,
) {
    let jobs = comptime![table.len()];
    let cube = CUBE_POS as u32;
    let kept = Vector::<f32, N>::new(rates[0]);
    let taken = Vector::<f32, N>::new(rates[1]);
    #[unroll]
    for j in 0..jobs {
        let place = table.index(j);
        if cube >= place.first && cube < place.end {
            let start = (cube - place.first) as usize * (UNITS * UPDATED) + UNIT_POS as usize;
            #[unroll]
            for k in 0..UPDATED {
                let i = start + k * UNITS;
                if i < place.length as usize {
                    new_averages.index_mut(j)[i] =
                        kept * averages.index(j)[i] + taken * values.index(j)[i];
                }
            }
        }
    }
}

/// `Σ w²`, `Σ g²` and `Σ (g + λ w)²` of every cube's stretch, `[chunks, 3]`, from row `offset` on.
#[cube(launch_unchecked)]
pub fn squares<N: Size>(
    parameters: &Sequence<Box<[Vector<f32, N>]>>,
    gradients: &Sequence<Box<[Vector<f32, N>]>>,
    sums: &mut [f32],
    decays: &[f32],
    table: Sequence<Place>,
    offset: u32,
    cubes: u32,
) {
    let jobs = comptime![table.len()];
    let cube = CUBE_POS as u32;
    let unit = UNIT_POS as usize;
    let mut of_w = Vector::<f32, N>::new(0.0f32);
    let mut of_g = Vector::<f32, N>::new(0.0f32);
    let mut of_decayed = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for j in 0..jobs {
        let place = table.index(j);
        if cube >= place.first && cube < place.end {
            let decay = Vector::<f32, N>::new(decays[place.job as usize]);
            let start = (cube - place.first) as usize * (UNITS * REDUCED) + unit;
            for k in 0..REDUCED {
                let i = start + k * UNITS;
                if i < place.length as usize {
                    let w = parameters.index(j)[i];
                    let g = gradients.index(j)[i];
                    let decayed = g + decay * w;
                    of_w += w * w;
                    of_g += g * g;
                    of_decayed += decayed * decayed;
                }
            }
        }
    }
    let mut shared_w = Shared::<[f32]>::new_slice(UNITS);
    let mut shared_g = Shared::<[f32]>::new_slice(UNITS);
    let mut shared_decayed = Shared::<[f32]>::new_slice(UNITS);
    shared_w[unit] = lanes(of_w);
    shared_g[unit] = lanes(of_g);
    shared_decayed[unit] = lanes(of_decayed);
    let w = total(&mut shared_w);
    let g = total(&mut shared_g);
    let decayed = total(&mut shared_decayed);
    if unit == 0 && cube < cubes {
        let row = (offset + cube) as usize * 3;
        sums[row] = w;
        sums[row + 1] = g;
        sums[row + 2] = decayed;
    }
}

/// The norms of every job, from the rows `ends[2 job]` to `ends[2 job + 1]` of `sums`. One cube for
/// each job.
#[cube(launch_unchecked)]
pub fn norms(
    sums: &[f32],
    ends: &[u32],
    of_w: &mut [f32],
    of_g: &mut [f32],
    of_decayed: &mut [f32],
) {
    let job = CUBE_POS;
    let unit = UNIT_POS as usize;
    let end = ends[2 * job + 1] as usize;
    let mut row = ends[2 * job] as usize + unit;
    let mut w = 0.0f32;
    let mut g = 0.0f32;
    let mut decayed = 0.0f32;
    while row < end {
        w += sums[row * 3];
        g += sums[row * 3 + 1];
        decayed += sums[row * 3 + 2];
        row += UNITS;
    }
    let mut shared_w = Shared::<[f32]>::new_slice(UNITS);
    let mut shared_g = Shared::<[f32]>::new_slice(UNITS);
    let mut shared_decayed = Shared::<[f32]>::new_slice(UNITS);
    shared_w[unit] = w;
    shared_g[unit] = g;
    shared_decayed[unit] = decayed;
    let w = total(&mut shared_w);
    let g = total(&mut shared_g);
    let decayed = total(&mut shared_decayed);
    if unit == 0 {
        of_w[job] = w.sqrt();
        of_g[job] = g.sqrt();
        of_decayed[job] = decayed.sqrt();
    }
}

/// In every cube's stretch, the first value that is NaN or infinite, or else 0: `[chunks]`, from
/// place `offset` on.
#[cube(launch_unchecked)]
pub fn search<N: Size>(
    tensors: &Sequence<Box<[Vector<f32, N>]>>,
    found: &mut [f32],
    table: Sequence<Place>,
    offset: u32,
    cubes: u32,
) {
    let jobs = comptime![table.len()];
    let cube = CUBE_POS as u32;
    let unit = UNIT_POS as usize;
    let mut place_found = u32::MAX.runtime();
    let mut value_found = 0.0f32;
    #[unroll]
    for j in 0..jobs {
        let place = table.index(j);
        if cube >= place.first && cube < place.end {
            let start = (cube - place.first) as usize * (UNITS * REDUCED) + unit;
            for k in 0..REDUCED {
                let i = start + k * UNITS;
                if i < place.length as usize {
                    let x = tensors.index(j)[i];
                    #[unroll]
                    for lane in 0..N::value() {
                        let value = x.extract(lane);
                        // The exponent of NaN and infinities. A comparison of floats does not do:
                        // compilers may assume that there are no such values.
                        let exponent = u32::reinterpret(value) & 0x7f80_0000u32;
                        if exponent == 0x7f80_0000u32 && place_found == u32::MAX {
                            place_found = (i * N::value() + lane) as u32;
                            value_found = value;
                        }
                    }
                }
            }
        }
    }
    let mut places = Shared::<[u32]>::new_slice(UNITS);
    let mut values = Shared::<[f32]>::new_slice(UNITS);
    places[unit] = place_found;
    values[unit] = value_found;
    let value = first(&mut places, &mut values);
    if unit == 0 && cube < cubes {
        found[(offset + cube) as usize] = value;
    }
}

/// For every job, the first of its values in `found` that is not 0, or else 0. One cube for each
/// job. `ends` is as for [`norms`].
#[cube(launch_unchecked)]
pub fn first_found(found: &[f32], ends: &[u32], of_job: &mut [f32]) {
    let job = CUBE_POS;
    let unit = UNIT_POS as usize;
    let end = ends[2 * job + 1] as usize;
    let mut i = ends[2 * job] as usize + unit;
    let mut place_found = u32::MAX.runtime();
    let mut value_found = 0.0f32;
    while i < end {
        let value = found[i];
        if u32::reinterpret(value) != 0u32 && place_found == u32::MAX {
            place_found = i as u32;
            value_found = value;
        }
        i += UNITS;
    }
    let mut places = Shared::<[u32]>::new_slice(UNITS);
    let mut values = Shared::<[f32]>::new_slice(UNITS);
    places[unit] = place_found;
    values[unit] = value_found;
    let value = first(&mut places, &mut values);
    if unit == 0 {
        of_job[job] = value;
    }
}

/// The sum of a vector's lanes.
#[cube]
fn lanes<N: Size>(x: Vector<f32, N>) -> f32 {
    let mut sum = 0.0f32;
    #[unroll]
    for lane in 0..N::value() {
        sum += x.extract(lane);
    }
    sum
}

/// The sum of all units' values, in the same order every time.
#[cube]
fn total(values: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS as usize;
    let mut active = UNITS.runtime();
    sync_cube();
    while active > 1 {
        active /= 2;
        if unit < active {
            let other = values[unit + active];
            values[unit] += other;
        }
        sync_cube();
    }
    values[0]
}

/// The value of the unit with the smallest place.
#[cube]
fn first(places: &mut Shared<[u32]>, values: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS as usize;
    let mut active = UNITS.runtime();
    sync_cube();
    while active > 1 {
        active /= 2;
        if unit < active {
            let other = places[unit + active];
            if other < places[unit] {
                places[unit] = other;
                values[unit] = values[unit + active];
            }
        }
        sync_cube();
    }
    values[0]
}
