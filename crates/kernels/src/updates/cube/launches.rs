//! Groups jobs into launches.

use burn::tensor::{DType, Shape};
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::kernels::{Place, PlaceLaunch, UNITS};
use super::layout::extent;

/// The most tensors of a launch, on any device. Every job adds to the kernel's code.
const MOST: usize = 128;

/// Elements that are read and written at once, if a tensor's length allows it.
const VECTOR: usize = 4;

/// What a kernel writes for each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// New values of the tensor in this column. They are written in place if nobody else holds the
    /// tensor.
    Replaces(usize),
    /// A new tensor in the order of the one in this column.
    Like(usize),
}

/// Arguments of one kind, a tensor per job.
#[derive(Default)]
pub struct Args(Vec<BufferArg>);

impl Args {
    pub fn take(&mut self) -> Vec<BufferArg> {
        std::mem::take(&mut self.0)
    }
}

/// One launch.
pub struct Launch {
    pub count: CubeCount,
    /// Elements of a vector.
    pub vector: usize,
    /// By column.
    pub inputs: Vec<Args>,
    pub outputs: Vec<Args>,
    /// Cubes of all jobs.
    pub cubes: u32,
    /// Cubes of the launches before it.
    pub offset: u32,
    places: Vec<Place>,
}

impl Launch {
    pub fn table<T: LaunchArg<RuntimeArg = PlaceLaunch>>(&self) -> SequenceArg<T> {
        let places = self.places.iter();
        places.map(|p| PlaceLaunch::new(p.first, p.end, p.length, p.job)).collect()
    }
}

/// Jobs by launch.
pub struct Groups {
    client: Client,
    columns: Vec<Vec<CubeTensor>>,
    /// By output, then by job.
    results: Vec<Vec<CubeTensor>>,
    /// For each output of each job: the column of its tensor.
    in_place: Vec<Vec<Option<usize>>>,
    /// Vector width and places.
    groups: Vec<(usize, Vec<Place>)>,
}

impl Groups {
    /// - `columns`: the jobs' tensors by kind, those of a job in the same order in memory.
    /// - `per_unit`: vectors that a unit of a cube takes.
    /// - `others`: further arrays of the kernel.
    pub fn new(
        client: &Client,
        columns: Vec<Vec<CubeTensor>>,
        outputs: &[Output],
        per_unit: usize,
        others: usize,
    ) -> Self {
        let jobs = columns.first().map_or(0, Vec::len);
        // One for the table.
        let room = (client.properties().hardware.max_bindings as usize).min(MOST);
        let room = room.saturating_sub(1 + others);
        let mut this = Self {
            client: client.clone(),
            columns,
            results: vec![Vec::new(); outputs.len()],
            in_place: vec![Vec::new(); outputs.len()],
            groups: Vec::new(),
        };
        for job in 0..jobs {
            this.add_results(job, outputs, room);
        }
        for vector in [VECTOR, 1] {
            let all: Vec<usize> = (0..jobs)
                .filter(|job| extent(&this.columns[0][*job]) > 0 && this.vector(*job) == vector)
                .collect();
            this.group(&all, vector, per_unit, room);
        }
        this
    }

    fn add_results(&mut self, job: usize, outputs: &[Output], room: usize) {
        let shared = outputs.iter().filter(|output| match output {
            Output::Replaces(column) => !self.columns[*column][job].can_mut(),
            Output::Like(_) => true,
        });
        // A device may have too little memory for tensors that are not updated in place.
        let copies = self.columns.len() + shared.count() > room;
        for (i, output) in outputs.iter().enumerate() {
            let (Output::Replaces(column) | Output::Like(column)) = *output;
            let replaces = matches!(output, Output::Replaces(_));
            if replaces && copies && !self.columns[column][job].can_mut() {
                self.columns[column][job] = self.columns[column][job].copy();
            }
            let tensor = &self.columns[column][job];
            let in_place = replaces && tensor.can_mut();
            self.in_place[i].push(in_place.then_some(column));
            let result = if in_place { tensor.clone() } else { like(tensor) };
            self.results[i].push(result);
        }
    }

    /// The number of elements that can be read at once from all tensors of a job.
    fn vector(&self, job: usize) -> usize {
        let whole = |tensor: &CubeTensor| {
            let start = tensor.handle.offset_start.unwrap_or(0);
            extent(tensor).is_multiple_of(VECTOR) && start.is_multiple_of(4 * VECTOR as u64)
        };
        match self.columns.iter().chain(&self.results).all(|column| whole(&column[job])) {
            true => VECTOR,
            false => 1,
        }
    }

    /// Arrays of a job.
    fn arrays(&self, job: usize) -> usize {
        let new = self.in_place.iter().filter(|output| output[job].is_none()).count();
        self.columns.len() + new
    }

    /// Deals jobs out to launches. These have about equally many jobs, so that most launches use
    /// the same kernel.
    fn group(&mut self, jobs: &[usize], vector: usize, per_unit: usize, room: usize) {
        let arrays: usize = jobs.iter().map(|job| self.arrays(*job)).sum();
        let share = jobs.len().div_ceil(arrays.div_ceil(room.max(1)).max(1));
        let mut rest = jobs;
        while !rest.is_empty() {
            let (mut places, mut taken, mut cubes) = (Vec::new(), 0, 0u32);
            for job in rest {
                taken += self.arrays(*job);
                if !places.is_empty() && (taken > room || places.len() >= share) {
                    break;
                }
                let length = extent(&self.columns[0][*job]) / vector;
                let first = cubes;
                cubes += length.div_ceil(UNITS * per_unit) as u32;
                places.push(Place { first, end: cubes, length: length as u32, job: *job as u32 });
            }
            rest = &rest[places.len()..];
            self.groups.push((vector, places));
        }
    }

    /// Cubes of all launches.
    pub fn cubes(&self) -> usize {
        self.groups.iter().map(|(_, places)| cubes(places) as usize).sum()
    }

    /// For each job, its first cube in all launches, and the cube after its last.
    pub fn ends(&self, jobs: usize) -> Vec<u32> {
        let (mut ends, mut offset) = (vec![0; 2 * jobs], 0);
        for (_, places) in &self.groups {
            for place in places {
                ends[2 * place.job as usize] = offset + place.first;
                ends[2 * place.job as usize + 1] = offset + place.end;
            }
            offset += cubes(places);
        }
        ends
    }

    /// Passes every launch to `f`. Returns the outputs: first those of the first kind, for all
    /// jobs.
    pub fn launch(self, mut f: impl FnMut(&mut Launch)) -> Vec<CubeTensor> {
        let mut offset = 0;
        for (vector, places) in &self.groups {
            let of = |tensors: &[CubeTensor]| {
                let args = places.iter().map(|p| tensors[p.job as usize].clone().into_buffer_arg());
                Args(args.collect())
            };
            let cubes = cubes(places);
            let outputs = self.results.iter().zip(&self.in_place).map(|(results, in_place)| {
                let args = places.iter().enumerate().map(|(i, place)| {
                    let job = place.job as usize;
                    match in_place[job] {
                        Some(column) => BufferArg::alias(
                            column * places.len() + i,
                            results[job].meta.num_elements(),
                        ),
                        None => results[job].clone().into_buffer_arg(),
                    }
                });
                Args(args.collect())
            });
            f(&mut Launch {
                count: calculate_cube_count_elemwise(
                    &self.client,
                    cubes as usize * UNITS,
                    cube_dim(),
                ),
                vector: *vector,
                inputs: self.columns.iter().map(|column| of(column)).collect(),
                outputs: outputs.collect(),
                cubes,
                offset,
                places: places.clone(),
            });
            offset += cubes;
        }
        self.results.into_iter().flatten().collect()
    }
}

fn cubes(places: &[Place]) -> u32 {
    places.last().map_or(0, |place| place.end)
}

/// The dimensions of a cube of all kernels here.
pub fn cube_dim() -> CubeDim {
    CubeDim::new_1d(UNITS as u32)
}

/// New memory in the order of a tensor.
fn like(tensor: &CubeTensor) -> CubeTensor {
    let handle = tensor.client.empty(extent(tensor) * size_of::<f32>());
    let meta = (*tensor.meta).clone();
    CubeTensor::new(tensor.client.clone(), handle, meta, tensor.device.clone(), tensor.dtype)
}

/// `[length]`, of any values.
pub fn empty(client: &Client, device: &CubeDevice, length: usize) -> CubeTensor {
    empty_device_contiguous_dtype(client.clone(), device.clone(), Shape::new([length]), DType::F32)
}

/// `[values]`
pub fn floats(client: &Client, device: &CubeDevice, values: &[f32]) -> CubeTensor {
    upload(client, device, bytemuck::cast_slice(values), values.len(), DType::F32)
}

/// `[values]`
pub fn integers(client: &Client, device: &CubeDevice, values: &[u32]) -> CubeTensor {
    upload(client, device, bytemuck::cast_slice(values), values.len(), DType::U32)
}

fn upload(
    client: &Client,
    device: &CubeDevice,
    bytes: &[u8],
    length: usize,
    dtype: DType,
) -> CubeTensor {
    let (handle, shape) = (client.create_from_slice(bytes), Shape::new([length]));
    CubeTensor::new_contiguous(client.clone(), device.clone(), shape, handle, dtype)
}
