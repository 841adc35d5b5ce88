//! The moving average of target networks.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use selfsame_kernels::{AnyTensor, moving_average_all};
use selfsame_models::named::{NamedMapper, NamedVisitor, map_named, visit_named};

/// Moves a target network towards an online one: `ξ ← τ ξ + (1 − τ) θ` (Grill et al., 2020,
/// section 3.1).
///
/// Parameters are matched by their path. Only trainable parameters of `online` are averaged. The
/// target has its own running statistics, from its own batches. The result needs no gradient and
/// shares no graph with `online`.
pub fn update_target<M: Module>(target: M, online: &M, tau: f64) -> M {
    let device = target.devices().into_iter().next().unwrap_or_default();
    let mut collect = Collect { parameters: BTreeMap::new() };
    visit_named(online, &mut collect);
    let mut take = TakeOut { online: collect.parameters, paths: Vec::new(), pairs: Vec::new() };
    let target = map_named(target, &mut take);
    let averaged = moving_average_all(&device, take.pairs, tau);
    let averaged = take.paths.into_iter().zip(averaged).collect();
    map_named(target, &mut PutBack { averaged })
}

/// The trainable parameters of a network, by path.
struct Collect {
    parameters: BTreeMap<String, AnyTensor>,
}

impl NamedVisitor for Collect {
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() {
            self.parameters.insert(name.to_owned(), value.into());
        }
    }
}

/// Takes the tensors out of the target. Then nobody else holds them, and they can be updated in
/// place.
struct TakeOut {
    online: BTreeMap<String, AnyTensor>,
    paths: Vec<String>,
    pairs: Vec<(AnyTensor, AnyTensor)>,
}

impl NamedMapper for TakeOut {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(online) = self.online.remove(name) else { return param };
        param.map(|target| {
            let nothing = Tensor::empty([0; D], &target.device());
            self.paths.push(name.to_owned());
            self.pairs.push((target.into(), online));
            nothing
        })
    }
}

struct PutBack {
    averaged: BTreeMap<String, AnyTensor>,
}

impl NamedMapper for PutBack {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(averaged) = self.averaged.remove(name) else { return param };
        param.map(|nothing| {
            let averaged = averaged.into_tensor();
            match nothing.device().is_autodiff() {
                true => Tensor::from_inner(averaged).set_require_grad(false),
                false => averaged,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};
    use selfsame_models::init::WeightInit;
    use selfsame_models::weights::state_dict;
    use selfsame_models::{Mlp, MlpConfig};

    use super::*;

    fn head(seed: u64) -> Mlp {
        let device = Device::flex().autodiff();
        MlpConfig::byol(3, 5, 2).init(&mut WeightInit::new(seed, 0, &device)).unwrap()
    }

    #[test]
    fn averages_parameters_and_leaves_running_statistics_alone() {
        let (online, target) = (head(0), head(1).no_grad());
        let x = Tensor::random([4, 3], Distribution::Default, &Device::flex().autodiff());
        online.forward(x);
        let before = state_dict(&target).unwrap();
        let theta = state_dict(&online).unwrap();
        let after = state_dict(&update_target(target, &online, 0.9)).unwrap();
        for (name, values) in &after {
            let (xi, theta) = (&before[name].values, &theta[name].values);
            for (i, value) in values.values.iter().enumerate() {
                let expected =
                    if name.contains("running_") { xi[i] } else { 0.9 * xi[i] + 0.1 * theta[i] };
                assert!((value - expected).abs() < 1e-6, "{name}[{i}]: {value}, {expected}");
            }
        }
        assert_ne!(theta["layers.0.norm.running_mean"], after["layers.0.norm.running_mean"]);
    }

    #[test]
    fn tau_one_freezes_and_tau_zero_copies() {
        let (online, target) = (head(0), head(1).no_grad());
        let xi = state_dict(&target).unwrap();
        let frozen = update_target(target, &online, 1.0);
        assert_eq!(state_dict(&frozen).unwrap(), xi);
        let copied = update_target(frozen, &online, 0.0);
        assert_eq!(state_dict(&copied).unwrap(), state_dict(&online).unwrap());
    }
}
