//! Optimisers over a whole module, with state kept by parameter path.
//!
//! Burn's own module optimiser keeps its state by parameter id, which is new in every process;
//! a path survives a resume, and the state's names can be read in the checkpoint.

mod adamw;
mod lars;
mod sgd;

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use selfsame_models::named::{NamedMapper, map_named};
use selfsame_models::weights::{Array, StateDict};

use crate::TrainError;

pub use adamw::AdamW;
pub use lars::{Lars, TrustRatio};
pub use sgd::Sgd;

/// Which rule updates the parameters, and which parameters are left out of part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerConfig {
    /// The update rule with its hyper-parameters.
    pub rule: Rule,
    /// λ of the weight decay.
    pub weight_decay: f64,
    /// Leave biases and batch-norm parameters (everything of rank 1) out of weight decay and of
    /// the LARS scaling, as all published LARS recipes do.
    pub exclude_bias_and_norm: bool,
}

/// An update rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Stochastic gradient descent with momentum.
    Sgd(Sgd),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
    /// Layer-wise adaptive rate scaling.
    Lars(Lars),
}

impl Rule {
    /// Names of the state tensors each parameter has.
    fn slots(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd(_) | Self::Lars(_) => &["velocity"],
            Self::AdamW(_) => &["first_moment", "second_moment"],
        }
    }
}

impl OptimizerConfig {
    /// Checks the hyper-parameters.
    ///
    /// # Errors
    /// Values outside their range, each named; and an exclusion from weight decay where there is
    /// none and no LARS scaling either, which would silently do nothing.
    pub fn validate(&self) -> Result<(), TrainError> {
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(TrainError::config(
                "optimizer.weight_decay",
                format!("{} is not a finite number of at least 0", self.weight_decay),
            ));
        }
        let scales = matches!(self.rule, Rule::Lars(_));
        if self.exclude_bias_and_norm && self.weight_decay == 0.0 && !scales {
            return Err(TrainError::config(
                "optimizer.exclude_bias_and_norm",
                "has nothing to exclude from: weight_decay is 0 and the rule is not lars; \
                 set exclude_bias_and_norm = false or a weight decay above 0",
            ));
        }
        match &self.rule {
            Rule::Sgd(rule) => rule.validate(),
            Rule::AdamW(rule) => rule.validate(),
            Rule::Lars(rule) => rule.validate(),
        }
    }
}

pub(crate) fn check_unit(field: &'static str, value: f64) -> Result<(), TrainError> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(TrainError::config(field, format!("{value} is outside [0, 1)")))
}

pub(crate) fn check_positive(field: &'static str, value: f64) -> Result<(), TrainError> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(TrainError::config(field, format!("{value} is not a finite number above 0")))
}

/// One parameter's part of a step, on the plain (non-autodiff) device.
pub(crate) struct Update<'a, const D: usize> {
    pub parameter: Tensor<D>,
    pub gradient: Tensor<D>,
    /// The rule's state for this parameter; empty before the first step.
    pub state: &'a mut Vec<Tensor<D>>,
    pub learning_rate: f64,
    /// 0 for an excluded parameter.
    pub weight_decay: f64,
    /// Whether weight decay and LARS scaling skip this parameter.
    pub excluded: bool,
    /// Optimiser steps done before this one.
    pub step: u64,
}

/// An optimiser with its state.
#[derive(Debug, Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// State tensors by parameter path, flattened since their ranks differ.
    state: BTreeMap<String, Vec<Tensor<1>>>,
    step: u64,
}

impl Optimizer {
    /// A fresh optimiser.
    ///
    /// # Errors
    /// As [`OptimizerConfig::validate`].
    pub fn new(config: OptimizerConfig) -> Result<Self, TrainError> {
        config.validate()?;
        Ok(Self { config, state: BTreeMap::new(), step: 0 })
    }

    /// Optimiser steps done so far.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// One step: every parameter that has a gradient is updated, the others stay as they are.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        gradients: GradientsParams,
        learning_rate: f64,
    ) -> M {
        let module = map_named(module, &mut Apply { optimizer: self, gradients, learning_rate });
        self.step += 1;
        module
    }

    fn update<const D: usize>(
        &mut self,
        path: &str,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        learning_rate: f64,
    ) -> Tensor<D> {
        let shape = parameter.shape();
        let mut state: Vec<Tensor<D>> = self
            .state
            .remove(path)
            .unwrap_or_default()
            .into_iter()
            .map(|slot| slot.reshape(shape.clone()))
            .collect();
        let excluded = self.config.exclude_bias_and_norm && D == 1;
        let update = Update {
            parameter,
            gradient,
            state: &mut state,
            learning_rate,
            weight_decay: if excluded { 0.0 } else { self.config.weight_decay },
            excluded,
            step: self.step,
        };
        let parameter = match &self.config.rule {
            Rule::Sgd(rule) => rule.update(update),
            Rule::AdamW(rule) => rule.update(update),
            Rule::Lars(rule) => rule.update(update),
        };
        let elements = shape.num_elements();
        let state = state.into_iter().map(|slot| slot.reshape([elements])).collect();
        self.state.insert(path.to_owned(), state);
        parameter
    }

    /// The state as named arrays (`online.encoder.conv1.weight.velocity`), for a checkpoint.
    ///
    /// # Errors
    /// A tensor that the device cannot hand back as f32.
    pub fn state_dict(&self) -> Result<StateDict, TrainError> {
        let mut dict = StateDict::new();
        for (path, slots) in &self.state {
            for (slot, tensor) in self.config.rule.slots().iter().zip(slots) {
                let values = tensor.to_data().try_into_vec::<f32>().map_err(|e| {
                    selfsame_models::ModelError::Device(format!("{path}.{slot}: {e:?}"))
                })?;
                dict.insert(format!("{path}.{slot}"), Array { shape: vec![values.len()], values });
            }
        }
        Ok(dict)
    }

    /// Takes over the state of a checkpoint for `module`, after `step` optimiser steps.
    ///
    /// # Errors
    /// State that does not fit the module or the rule, by name; then nothing is changed.
    pub fn load_state_dict<M: Module>(
        &mut self,
        module: &M,
        dict: &StateDict,
        step: u64,
    ) -> Result<(), TrainError> {
        let device = module.devices().into_iter().next().unwrap_or_default().inner();
        let parameters = selfsame_models::weights::state_dict(module)?;
        let mut state: BTreeMap<String, Vec<Tensor<1>>> = BTreeMap::new();
        for path in parameters.keys() {
            let arrays: Vec<&Array> = self
                .config
                .rule
                .slots()
                .iter()
                .filter_map(|slot| dict.get(&format!("{path}.{slot}")))
                .collect();
            if arrays.is_empty() {
                continue;
            }
            let length = parameters[path].values.len();
            if arrays.len() != self.config.rule.slots().len()
                || arrays.iter().any(|a| a.values.len() != length)
            {
                return Err(TrainError::config(
                    "optimizer",
                    format!("the saved state of {path} does not fit the model"),
                ));
            }
            let tensors = arrays
                .into_iter()
                .map(|a| Tensor::from_data(TensorData::new(a.values.clone(), [length]), &device))
                .collect();
            state.insert(path.clone(), tensors);
        }
        let used = state.len() * self.config.rule.slots().len();
        if used != dict.len() {
            return Err(TrainError::config(
                "optimizer",
                format!(
                    "the checkpoint holds {} state tensors and this optimiser takes {used}: \
                     another rule or another model",
                    dict.len()
                ),
            ));
        }
        self.state = state;
        self.step = step;
        Ok(())
    }
}

struct Apply<'a> {
    optimizer: &'a mut Optimizer,
    gradients: GradientsParams,
    learning_rate: f64,
}

impl NamedMapper for Apply<'_> {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        param.map(|parameter| {
            let updated =
                self.optimizer.update(name, parameter.inner(), gradient, self.learning_rate);
            Tensor::from_inner(updated).require_grad()
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use burn::tensor::Device;

    use super::*;

    pub(crate) fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    }

    /// Runs `steps` updates of one parameter with a constant gradient.
    pub(crate) fn run<const D: usize>(
        config: &OptimizerConfig,
        parameter: Tensor<D>,
        gradient: &Tensor<D>,
        learning_rate: f64,
        steps: u64,
    ) -> Vec<f32> {
        let mut optimizer = Optimizer::new(config.clone()).unwrap();
        let mut parameter = parameter;
        for _ in 0..steps {
            parameter = optimizer.update("w", parameter, gradient.clone(), learning_rate);
            optimizer.step += 1;
        }
        parameter.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn excluding_from_a_decay_of_zero_is_refused_except_for_lars() {
        let sgd = OptimizerConfig {
            rule: Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }),
            weight_decay: 0.0,
            exclude_bias_and_norm: true,
        };
        let error = sgd.validate().unwrap_err().to_string();
        assert!(error.contains("exclude_bias_and_norm"), "{error}");
        let lars = OptimizerConfig { rule: Rule::Lars(Lars::default()), ..sgd };
        lars.validate().unwrap();
    }
}
