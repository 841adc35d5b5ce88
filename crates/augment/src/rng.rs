//! The random generator of one view, keyed by what the view is.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The random generator that transforms draw from.
pub type ViewRng = ChaCha8Rng;

/// Names one view of one image in one epoch of one run.
///
/// Each key has its own generator. ChaCha is a counter-based cipher with a key of 256 bits, and
/// these four numbers fill it. Streams of different keys are unrelated, and none has to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ViewKey {
    /// The run's seed.
    pub seed: u64,
    /// Counted from 0.
    pub epoch: u64,
    /// The image's index in the data set, not its place in the shuffled epoch.
    pub image: u64,
    /// 0 or 1 for a pair.
    pub view: u64,
}

impl ViewKey {
    /// The generator at its beginning.
    pub fn rng(self) -> ViewRng {
        let mut key = [0; 32];
        for (bytes, part) in
            key.chunks_exact_mut(8).zip([self.seed, self.epoch, self.image, self.view])
        {
            bytes.copy_from_slice(&part.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn every_part_of_the_key_matters_and_nothing_else() {
        let key = ViewKey { seed: 1, epoch: 2, image: 3, view: 0 };
        let first = |key: ViewKey| key.rng().next_u64();
        assert_eq!(first(key), first(key));
        for other in [
            ViewKey { seed: 2, ..key },
            ViewKey { epoch: 3, ..key },
            ViewKey { image: 4, ..key },
            ViewKey { view: 1, ..key },
        ] {
            assert_ne!(first(key), first(other), "{other:?}");
        }
    }
}
