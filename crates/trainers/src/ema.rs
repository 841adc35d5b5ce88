use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use selfsame_kernels::{for_each_tensor, moving_average};
use selfsame_models::named::{NamedMapper, NamedVisitor, map_named, visit_named};

/// Moves a target network towards an online one: `ξ ← τ ξ + (1 − τ) θ` (Grill et al., 2020,
/// section 3.1).
///
/// Parameters are matched by their path. Only what trains in `online` is averaged: running
/// statistics are the target's own, gathered from its own batches. The result requires no
/// gradient and shares no graph with `online`.
pub fn update_target<M: Module>(target: M, online: &M, tau: f64) -> M {
    let mut collect = Collect { trained: true, parameters: BTreeMap::new() };
    visit_named(online, &mut collect);
    let mut online = collect.parameters;
    let mut collect = Collect { trained: false, parameters: BTreeMap::new() };
    visit_named(&target, &mut collect);
    let pairs = collect.parameters.into_iter().filter_map(|(path, value)| {
        let online = online.remove(&path)?;
        Some((path, value, online))
    });
    let device = target.devices().into_iter().next().unwrap_or_default();
    let averaged = for_each_tensor(&device, pairs.collect(), |(path, target, online)| {
        (path, moving_average(target, online, tau))
    });
    map_named(target, &mut PutBack { averaged: averaged.into_iter().collect() })
}

/// The tensors of a network by their paths, flattened since their ranks differ.
struct Collect {
    /// Only those that train.
    trained: bool,
    parameters: BTreeMap<String, Tensor<1>>,
}

impl NamedVisitor for Collect {
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() || !self.trained {
            let elements = value.shape().num_elements();
            self.parameters.insert(name.to_owned(), value.detach().reshape([elements]));
        }
    }
}

struct PutBack {
    averaged: BTreeMap<String, Tensor<1>>,
}

impl NamedMapper for PutBack {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(averaged) = self.averaged.remove(name) else { return param };
        param.map(|target| averaged.reshape(target.shape()).set_require_grad(false))
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
