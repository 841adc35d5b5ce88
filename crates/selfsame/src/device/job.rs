//! The processes of `mpirun` or `srun`. Each is a rank of one run.

use std::sync::Arc;

use selfsame_kernels::Ranks;

use crate::error::usage;
use crate::observer::Voice;

/// The variables in which launchers give the number of processes.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// The place of this process in a job. A process may be alone.
pub struct Job {
    ranks: Option<Arc<dyn Ranks>>,
    #[cfg(feature = "mpi")]
    universe: Option<mpi::environment::Universe>,
}

impl Job {
    /// Connects to the other processes.
    ///
    /// # Errors
    /// There are several processes, but the program has no MPI: each would train its own network.
    pub fn join(voice: &Voice) -> anyhow::Result<Self> {
        let sizes = SIZES.iter().filter_map(|name| std::env::var(name).ok()?.parse::<usize>().ok());
        match sizes.max().unwrap_or(1) {
            0 | 1 => Ok(Self::alone()),
            processes => Self::meet(processes, voice),
        }
    }

    fn alone() -> Self {
        Self {
            ranks: None,
            #[cfg(feature = "mpi")]
            universe: None,
        }
    }

    #[cfg(not(feature = "mpi"))]
    fn meet(processes: usize, _: &Voice) -> anyhow::Result<Self> {
        Err(usage(format!(
            "{processes} processes were started together, but this build has no MPI; build one \
             with `--features mpi`, or start one process"
        )))
    }

    #[cfg(feature = "mpi")]
    fn meet(processes: usize, voice: &Voice) -> anyhow::Result<Self> {
        use mpi::Threading;
        let (universe, threading) = mpi::initialize_with_threading(Threading::Serialized)
            .ok_or_else(|| usage("MPI has been initialised already"))?;
        if threading < Threading::Serialized {
            return Err(usage("this MPI allows calls from its first thread only"));
        }
        let ranks = world::World::new();
        if ranks.count() != processes {
            voice.warn(format_args!(
                "the launcher started {processes} processes, but MPI has {}; use the launcher of \
                 this MPI",
                ranks.count()
            ));
        }
        let ranks = (ranks.count() > 1).then(|| Arc::new(ranks) as Arc<dyn Ranks>);
        Ok(Self { ranks, universe: Some(universe) })
    }

    /// The ranks, if there are several.
    pub fn ranks(&self) -> Option<Arc<dyn Ranks>> {
        self.ranks.clone()
    }

    /// Ends the job when all processes have called this. If a process ends without it, the launcher
    /// ends the others.
    pub fn end(self) {
        if let Some(ranks) = &self.ranks {
            ranks.gather(&[0]);
        }
        #[cfg(feature = "mpi")]
        drop(self.universe);
    }

    /// Leaves the job. Its launcher then ends the other processes, too.
    pub fn desert(self) {
        #[cfg(feature = "mpi")]
        std::mem::forget(self.universe);
    }
}

/// The bytes of all ranks, in the order of ranks. Lengths may differ.
pub fn gather_bytes(ranks: &dyn Ranks, bytes: &[u8]) -> Vec<Vec<u8>> {
    let lengths = ranks.gather(&(bytes.len() as u64).to_le_bytes());
    let lengths: Vec<usize> = lengths
        .chunks_exact(8)
        .map(|length| length.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte)))
        .collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    if longest == 0 {
        return vec![Vec::new(); lengths.len()];
    }
    let mut padded = bytes.to_vec();
    padded.resize(longest, 0);
    let all = ranks.gather(&padded);
    all.chunks(longest).zip(lengths).map(|(bytes, length)| bytes[..length].to_vec()).collect()
}

/// Sends the bytes of rank 0 to all ranks.
pub fn share(ranks: &dyn Ranks, bytes: Option<Vec<u8>>) -> Vec<u8> {
    let mut length = (bytes.as_ref().map_or(0, Vec::len) as u64).to_le_bytes();
    ranks.broadcast(&mut length);
    let mut bytes = bytes.unwrap_or_else(|| vec![0; u64::from_le_bytes(length) as usize]);
    ranks.broadcast(&mut bytes);
    bytes
}

#[cfg(feature = "mpi")]
mod world {
    use mpi::collective::SystemOperation;
    use mpi::topology::SimpleCommunicator;
    use mpi::traits::{Communicator, CommunicatorCollectives, Root};
    use selfsame_kernels::Ranks;

    /// MPI counts in 32 bits. Longer messages are sent in parts.
    const MOST: usize = 1 << 28;

    /// `MPI_COMM_WORLD`. By default, a failed MPI operation ends all processes.
    #[derive(Debug)]
    pub struct World {
        rank: usize,
        count: usize,
    }

    impl World {
        pub fn new() -> Self {
            let world = SimpleCommunicator::world();
            Self { rank: world.rank() as usize, count: world.size() as usize }
        }
    }

    impl Ranks for World {
        fn rank(&self) -> usize {
            self.rank
        }

        fn count(&self) -> usize {
            self.count
        }

        fn gather(&self, bytes: &[u8]) -> Vec<u8> {
            let mut all = vec![0; bytes.len() * self.count];
            let most = MOST / self.count;
            for first in (0..bytes.len()).step_by(most) {
                let part = &bytes[first..(first + most).min(bytes.len())];
                let mut parts = vec![0; part.len() * self.count];
                SimpleCommunicator::world().all_gather_into(part, &mut parts[..]);
                for (rank, part) in parts.chunks(part.len()).enumerate() {
                    let start = rank * bytes.len() + first;
                    all[start..start + part.len()].copy_from_slice(part);
                }
            }
            all
        }

        /// Rank 0 adds and sends the sum: `MPI_Allreduce` need not give all ranks the same bits.
        fn sum(&self, values: &mut [f32]) {
            let world = SimpleCommunicator::world();
            let root = world.process_at_rank(0);
            for values in values.chunks_mut(MOST) {
                let mine = values.to_vec();
                if self.rank == 0 {
                    root.reduce_into_root(&mine[..], values, SystemOperation::sum());
                } else {
                    root.reduce_into(&mine[..], SystemOperation::sum());
                }
                root.broadcast_into(values);
            }
        }

        fn broadcast(&self, bytes: &mut [u8]) {
            let world = SimpleCommunicator::world();
            for part in bytes.chunks_mut(MOST) {
                world.process_at_rank(0).broadcast_into(part);
            }
        }
    }
}
