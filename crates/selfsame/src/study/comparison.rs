//! The runs of a comparison, by method and batch size.

use super::chance::doubt;
use super::figures::Repeats;
use crate::settings::Method;

/// A method at a batch size.
pub struct Group<'a> {
    pub method: Method,
    pub batch_size: usize,
    pub repeats: Repeats<'a>,
}

/// The common settings of all runs, and their groups by method and batch size.
pub struct Comparison<'a> {
    pub groups: Vec<Group<'a>>,
    pub methods: Vec<Method>,
}

impl<'a> Comparison<'a> {
    pub fn of(&self, method: Method) -> impl Iterator<Item = &Group<'a>> + '_ {
        self.groups.iter().filter(move |group| group.method == method)
    }

    /// The best batch size of a method, by accuracy.
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

    /// Whether runs were repeated with other seeds.
    pub fn is_repeated(&self) -> bool {
        self.groups.iter().any(|group| group.repeats.outcomes.len() > 1)
    }

    /// The highest accuracy that all methods above their untrained encoder reach at their best
    /// batch size, on average. `None` for fewer than two such methods: an accuracy without training
    /// takes no time.
    pub fn common_accuracy(&self) -> Option<f64> {
        let reached = |method: &Method| {
            let repeats = &self.best(*method)?.repeats;
            let (knn, untrained) = (repeats.knn()?.mean, repeats.untrained());
            untrained.is_none_or(|untrained| knn > untrained.mean).then_some(knn)
        };
        let mut all: Vec<f64> = self.methods.iter().filter_map(reached).collect();
        all.sort_by(f64::total_cmp);
        (all.len() > 1).then(|| all[0])
    }

    /// Why the groups of these methods say nothing, if so.
    pub fn doubt(&self, methods: &[Method]) -> Option<String> {
        let own = self.groups.iter().filter(|group| methods.contains(&group.method));
        doubt(own.map(|group| &group.repeats))
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{comparison, outcomes};
    use super::*;

    #[test]
    fn a_common_accuracy_is_above_the_untrained_encoder() {
        let common = |accuracies: [f64; 3]| {
            let all = accuracies.map(|accuracy| outcomes(&[accuracy; 2], |_| ()));
            let methods = [Method::Byol, Method::SimClr, Method::BarlowTwins];
            let pairs: Vec<_> = methods.into_iter().zip(all.iter().map(Vec::as_slice)).collect();
            comparison(&pairs).common_accuracy()
        };
        assert_eq!(common([0.80, 0.70, 0.75]), Some(0.70));
        assert_eq!(common([0.80, 0.55, 0.75]), Some(0.75));
        assert_eq!(common([0.80, 0.55, 0.60]), None);
    }
}
