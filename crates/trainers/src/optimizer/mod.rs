//! Optimisers over a whole module, with state kept by parameter path.
//!
//! Burn's own module optimiser keeps its state by parameter id. The id is new in every process. A
//! path survives a resume, and a person can read it in the checkpoint.

mod adamw;
mod lars;
mod sgd;

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use selfsame_kernels::AnyTensor;
use selfsame_models::named::{NamedMapper, map_named};
use selfsame_models::weights::{Array, StateDict};

use crate::TrainError;

pub use adamw::AdamW;
pub use lars::{Lars, TrustRatio};
pub use sgd::Sgd;

/// The update rule, and the parameters that are excluded from part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerConfig {
    /// The update rule with its hyper-parameters.
    pub rule: Rule,
    /// λ of the weight decay.
    pub weight_decay: f64,
    /// Exclude biases and batch norm (all parameters of rank 1) from weight decay and LARS scaling,
    /// as in all published LARS recipes.
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
    /// A value is out of range; the error names it. Or the exclusion has no effect, because there
    /// is no weight decay and no LARS scaling.
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
                "has no effect: weight_decay is 0 and the rule is not lars; set \
                 exclude_bias_and_norm = false or a weight decay above 0",
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

/// The part of a step for one parameter.
pub(crate) struct Update {
    pub parameter: AnyTensor,
    /// The gradient. Like the state, it has the parameter's shape.
    pub gradient: AnyTensor,
    /// The rule's state for this parameter; empty before the first step.
    pub state: Vec<AnyTensor>,
    /// 0 for an excluded parameter.
    pub weight_decay: f64,
    /// Whether weight decay and LARS scaling skip this parameter.
    pub excluded: bool,
}

/// A parameter after a step, with its state.
type Updated = (AnyTensor, Vec<AnyTensor>);

/// An optimiser with its state.
#[derive(Debug, Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// State tensors by parameter path, each of the parameter's shape.
    state: BTreeMap<String, Vec<AnyTensor>>,
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

    /// One step. It updates every parameter with a gradient. The others do not change.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        gradients: GradientsParams,
        learning_rate: f64,
    ) -> M {
        let device = module.devices().into_iter().next().unwrap_or_default();
        let mut take = TakeOut { gradients, parameters: Vec::new() };
        let module = map_named(module, &mut take);
        let updated = self.update(&device, take.parameters, learning_rate);
        map_named(module, &mut PutBack { updated })
    }

    /// Updates all parameters at once, and returns them by path.
    fn update(
        &mut self,
        device: &Device,
        parameters: Vec<Trained>,
        learning_rate: f64,
    ) -> BTreeMap<String, AnyTensor> {
        let Self { config, state, step } = self;
        let mut paths = Vec::with_capacity(parameters.len());
        let updates = parameters.into_iter().map(|trained| {
            let Trained { path, parameter, gradient } = trained;
            let excluded = config.exclude_bias_and_norm && parameter.shape().num_dims() == 1;
            let state = state.remove(&path).unwrap_or_default();
            paths.push(path);
            let weight_decay = if excluded { 0.0 } else { config.weight_decay };
            Update { parameter, gradient, state, weight_decay, excluded }
        });
        let updates = updates.collect();
        let updated = match &config.rule {
            Rule::Sgd(rule) => rule.update(device, updates, learning_rate),
            Rule::AdamW(rule) => rule.update(device, updates, learning_rate, *step),
            Rule::Lars(rule) => rule.update(device, updates, learning_rate),
        };
        *step += 1;
        let mut parameters = BTreeMap::new();
        for (path, (parameter, new)) in paths.into_iter().zip(updated) {
            state.insert(path.clone(), new);
            parameters.insert(path, parameter);
        }
        parameters
    }

    /// The state as named arrays (`online.encoder.conv1.weight.velocity`), for a checkpoint.
    ///
    /// # Errors
    /// The device cannot return a tensor as f32.
    pub fn state_dict(&self) -> Result<StateDict, TrainError> {
        let mut dict = StateDict::new();
        for (path, slots) in &self.state {
            for (slot, tensor) in self.config.rule.slots().iter().zip(slots) {
                let failed = |e: &dyn std::fmt::Debug| {
                    selfsame_models::ModelError::Device(format!("{path}.{slot}: {e:?}"))
                };
                let data = tensor.to_data().map_err(|e| failed(&e))?;
                let values = data.try_into_vec::<f32>().map_err(|e| failed(&e))?;
                dict.insert(format!("{path}.{slot}"), Array { shape: vec![values.len()], values });
            }
        }
        Ok(dict)
    }

    /// Takes over the state of a checkpoint for `module`, after `step` optimiser steps.
    ///
    /// # Errors
    /// The state does not fit the module or the rule. The error has the tensor's name. Nothing is
    /// changed.
    pub fn load_state_dict<M: Module>(
        &mut self,
        module: &M,
        dict: &StateDict,
        step: u64,
    ) -> Result<(), TrainError> {
        let device = module.devices().into_iter().next().unwrap_or_default().inner();
        let parameters = selfsame_models::weights::state_dict(module)?;
        let mut state: BTreeMap<String, Vec<AnyTensor>> = BTreeMap::new();
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
                .map(|a| {
                    let data = TensorData::new(a.values.clone(), parameters[path].shape.clone());
                    AnyTensor::from_data(data, &device)
                })
                .collect();
            state.insert(path.clone(), tensors);
        }
        let used = state.len() * self.config.rule.slots().len();
        if used != dict.len() {
            return Err(TrainError::config(
                "optimizer",
                format!(
                    "the checkpoint holds {} state tensors, but this optimiser needs {used}: it \
                     has another rule or model",
                    dict.len()
                ),
            ));
        }
        self.state = state;
        self.step = step;
        Ok(())
    }
}

/// A parameter with a gradient.
struct Trained {
    path: String,
    parameter: AnyTensor,
    gradient: AnyTensor,
}

/// Takes all parameters with a gradient out of a module. Then nobody else holds them, and they can
/// be updated in place.
struct TakeOut {
    gradients: GradientsParams,
    parameters: Vec<Trained>,
}

impl NamedMapper for TakeOut {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        param.map(|parameter| {
            let nothing = Tensor::empty([0; D], &parameter.device());
            self.parameters.push(Trained {
                path: name.to_owned(),
                parameter: parameter.into(),
                gradient: gradient.into(),
            });
            nothing
        })
    }
}

struct PutBack {
    updated: BTreeMap<String, AnyTensor>,
}

impl NamedMapper for PutBack {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(updated) = self.updated.remove(name) else { return param };
        param.map(|_| Tensor::from_inner(updated.into_tensor()).require_grad())
    }
}

#[cfg(test)]
pub(crate) mod tests {
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
        let mut parameter = AnyTensor::from(parameter);
        for _ in 0..steps {
            let gradient = gradient.clone().into();
            let trained = Trained { path: "w".to_owned(), parameter, gradient };
            let mut updated = optimizer.update(&Device::flex(), vec![trained], learning_rate);
            parameter = updated.remove("w").unwrap();
        }
        parameter.to_data().unwrap().try_into_vec().unwrap()
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
