//! The runs of a comparison, by method and batch size.

use super::figures::Repeats;
use crate::methods::Method;

/// A method at a batch size.
pub struct Group<'a> {
    pub method: Method,
    pub batch_size: usize,
    pub repeats: Repeats<'a>,
}

/// What all runs have in common, and their groups: by method, then by batch size.
pub struct Comparison<'a> {
    pub groups: Vec<Group<'a>>,
    pub methods: Vec<Method>,
    pub seeds: u64,
}

impl<'a> Comparison<'a> {
    pub fn of(&self, method: Method) -> impl Iterator<Item = &Group<'a>> + '_ {
        self.groups.iter().filter(move |group| group.method == method)
    }

    /// A method at the batch size where it is most accurate.
    pub fn best(&self, method: Method) -> Option<&Group<'a>> {
        let scored = self.of(method).filter_map(|g| Some((g.repeats.knn()?.mean, g)));
        scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, group)| group)
    }

    /// All batch sizes in use, ascending.
    pub fn batch_sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.groups.iter().map(|g| g.batch_size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// What every method reaches at its best batch size, on average.
    pub fn common_accuracy(&self) -> Option<f64> {
        let best = self.methods.iter().filter_map(|m| self.best(*m)?.repeats.knn());
        best.map(|v| v.mean).reduce(f64::min)
    }
}
