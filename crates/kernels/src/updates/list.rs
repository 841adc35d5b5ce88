//! Updates of many tensors at once, an extension of CubeCL's backends with and without fusion.

use burn::backend::fusion::custom::{
    ExtensionMetadata, Float, FusionValueAdapter, HandleContainer, OutputTensor, TensorId,
    TensorIr, TensorSpec,
};
use burn::backend::fusion::{ExecutionError, Fusion, FusionBackend, FusionRuntime, FusionTensor};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchDevice, DispatchTensor,
    DispatchTensorKind, ExtensionType, TensorMetadata, backend_extension,
};
use burn::tensor::{DType, Shape, Tensor};

use super::{AdamWJob, AnyTensor, SgdJob};

/// Float tensors of a backend.
pub struct TensorList<B: Backend>(pub Vec<FloatTensor<B>>);

impl<B: Backend> ExtensionType<B> for TensorList<B> {
    type Target = TensorList<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let wrap =
            |tensor| DispatchTensor { kind: map_kind(BackendTensor::Float(tensor)), autodiff };
        TensorList(self.0.into_iter().map(wrap).collect())
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        Self(target.0.into_iter().map(|tensor| unwrap_kind(tensor).float()).collect())
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn routing_float_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn autodiff_context(target: &Self::Target) -> DispatchAutodiffContext {
        let contexts = target.0.iter().map(|tensor| tensor.autodiff);
        contexts.fold(DispatchAutodiffContext::Disabled, DispatchAutodiffContext::merge)
    }
}

impl<B: Backend> ExtensionMetadata for TensorList<B> {
    type Metadata = Vec<TensorSpec>;
    type Input = Vec<TensorIr>;
    type Output = Vec<OutputTensor>;
}

/// Handles of a fused backend.
type Handles<B> =
    HandleContainer<<<B as FusionBackend>::FusionRuntime as FusionRuntime>::FusionHandle>;

/// Converts every tensor from Burn's form.
impl<B: FusionBackend> FusionValueAdapter<B> for TensorList<B> {
    type Metadata = Vec<TensorSpec>;
    type Input = Vec<TensorIr>;
    type Output = Vec<OutputTensor>;
    type Inner = Self;
    type Fused = TensorList<Fusion<B>>;

    fn to_metadata(value: &Self::Fused) -> Self::Metadata {
        value.0.iter().map(<Float as FusionValueAdapter<B>>::to_metadata).collect()
    }

    fn visit_fused_tensors(
        value: &Self::Fused,
        visit: &mut impl FnMut(&FusionTensor<B::FusionRuntime>),
    ) {
        value.0.iter().for_each(visit);
    }

    fn tensor_count(meta: &Self::Metadata) -> usize {
        meta.len()
    }

    fn append_input_ir(value: Self::Fused, inputs: &mut Vec<TensorIr>) -> Self::Input {
        let append = |tensor| <Float as FusionValueAdapter<B>>::append_input_ir(tensor, inputs);
        value.0.into_iter().map(append).collect()
    }

    fn resolve_inputs(input: &Self::Input, handles: &mut Handles<B>) -> Self::Inner {
        let resolve = |ir| <Float as FusionValueAdapter<B>>::resolve_inputs(ir, handles);
        Self(input.iter().map(resolve).collect())
    }

    fn append_output_ir(
        meta: &Self::Metadata,
        out: &mut Vec<TensorIr>,
        create: &mut impl FnMut() -> TensorId,
    ) -> Self::Output {
        let append = |spec| <Float as FusionValueAdapter<B>>::append_output_ir(spec, out, create);
        meta.iter().map(append).collect()
    }

    fn validate_outputs(
        value: &Self::Inner,
        output: &Self::Output,
        device: Option<&B::Device>,
    ) -> Result<(), ExecutionError> {
        if value.0.len() != output.len() {
            return Err(ExecutionError::generic("a list has another length than was announced"));
        }
        value.0.iter().zip(output).try_for_each(|(value, output)| {
            <Float as FusionValueAdapter<B>>::validate_outputs(value, output, device)
        })
    }

    fn register_output_handles(
        value: Self::Inner,
        output: &Self::Output,
        handles: &mut Handles<B>,
    ) {
        for (value, output) in value.0.into_iter().zip(output) {
            <Float as FusionValueAdapter<B>>::register_output_handles(value, output, handles);
        }
    }

    fn build_fused_output(
        meta: &Self::Metadata,
        tensors: &mut std::vec::IntoIter<FusionTensor<B::FusionRuntime>>,
    ) -> Self::Fused {
        let build = |spec| <Float as FusionValueAdapter<B>>::build_fused_output(spec, tensors);
        TensorList(meta.iter().map(build).collect())
    }
}

/// The settings of an SGD step. All jobs share them, except the rates.
#[derive(Debug, Clone)]
pub struct SgdRule {
    /// Of each job: μ, λ, lr and the number of its scale, −1 for none.
    pub rates: Vec<[f32; 4]>,
    pub nesterov: bool,
    /// Whether velocities are made and kept.
    pub momentum: bool,
}

/// The settings of an AdamW step.
#[derive(Debug, Clone)]
pub struct AdamWRule {
    /// Of each job: β₁, 1 − β₁, β₂, 1 − β₂, 1 − β₁ᵗ, 1 − β₂ᵗ, ε, lr, 1 − lr λ.
    pub rates: Vec<[f32; 9]>,
}

/// Updates of lists of f32 tensors. A list holds its jobs' tensors by kind, all parameters first.
/// Results have the same order.
#[backend_extension(Cube, Fusion)]
pub trait ListOps: Backend {
    /// Parameters, gradients and, after the first step with momentum, velocities → parameters and,
    /// with momentum, velocities. `scales` holds `[n]` or nothing.
    #[fusion(meta = |list, scales, rule| {
        let _ = scales;
        let jobs = rule.rates.len();
        [&list[..jobs]].repeat(if rule.momentum { 2 } else { 1 }).concat()
    })]
    fn list_sgd(
        #[extension_type] list: TensorList<Self>,
        #[extension_type] scales: TensorList<Self>,
        rule: SgdRule,
    ) -> TensorList<Self>;

    /// Parameters, gradients and, after the first step, both moments → parameters and both moments.
    #[fusion(meta = |list, rule| [&list[..rule.rates.len()]].repeat(3).concat())]
    fn list_adamw(#[extension_type] list: TensorList<Self>, rule: AdamWRule) -> TensorList<Self>;

    /// Averages and values → averages.
    #[fusion(meta = |list, tau| {
        let _ = tau;
        list[..list.len() / 2].to_vec()
    })]
    fn list_moving_average(#[extension_type] list: TensorList<Self>, tau: f64) -> TensorList<Self>;

    /// Parameters and gradients → `‖w‖`, `‖g‖` and `‖g + λ w‖`, `[n]` each.
    #[fusion(meta = |list, decays| {
        let _ = list;
        let norms = TensorSpec::new(Shape::new([decays.len()]), DType::F32);
        (norms.clone(), norms.clone(), norms)
    })]
    fn list_norms(
        #[extension_type] list: TensorList<Self>,
        decays: Vec<f32>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// For each tensor, the first value that is NaN or infinite, or else 0: `[n]`.
    #[fusion(meta = |list| TensorSpec::new(Shape::new([list.len()]), DType::F32))]
    fn list_not_finite(#[extension_type] list: TensorList<Self>) -> FloatTensor<Self>;
}

/// Whether the tensors of all jobs are f32 on a CubeCL device, and the tensors of one job have one
/// shape.
pub fn takes<'a, T>(mut jobs: impl Iterator<Item = T>) -> bool
where
    T: Iterator<Item = &'a AnyTensor>,
{
    let mut any = false;
    let all = jobs.all(|tensors| {
        let mut shape = None;
        let mut tensors = tensors;
        any = true;
        tensors.all(|tensor| {
            let same = *shape.get_or_insert_with(|| tensor.shape()) == tensor.shape();
            let cube = matches!(tensor.dispatch().device(), DispatchDevice::Cube(_));
            // Places in a tensor are counted in 32 bits.
            let counted = u32::try_from(tensor.shape().num_elements()).is_ok();
            same && cube && counted && tensor.dtype() == DType::F32
        })
    });
    any && all
}

pub fn sgd(jobs: Vec<SgdJob>, scales: Option<Tensor<1>>) -> Vec<(AnyTensor, Option<AnyTensor>)> {
    let scales: Vec<_> = scales.into_iter().map(|t| t.inner().into_dispatch()).collect();
    // All jobs of a call have the same kernel.
    let kind = |job: &SgdJob| {
        let momentum = job.step.momentum != 0.0;
        (momentum, job.step.nesterov && momentum, momentum && job.velocity.is_some())
    };
    in_groups(jobs, kind, |(momentum, nesterov, moving), jobs| {
        let rates = jobs.iter().map(|job| {
            let scale = job.scale.filter(|_| !scales.is_empty()).map_or(-1.0, |scale| scale as f64);
            let step = job.step;
            [step.momentum, step.weight_decay, step.learning_rate, scale].map(|x| x as f32)
        });
        let rule = SgdRule { rates: rates.collect(), nesterov, momentum };
        let columns = [
            jobs.iter().map(|job| job.parameter.clone()).collect(),
            jobs.iter().map(|job| job.gradient.clone()).collect(),
            jobs.iter().filter_map(|job| job.velocity.clone()).filter(|_| moving).collect(),
        ];
        let count = jobs.len();
        drop(jobs);
        let scales = TensorList(scales.clone());
        let list = <Dispatch as ListOps>::list_sgd(list(columns), scales, rule);
        let mut new = list.0.into_iter().map(AnyTensor::from_dispatch);
        let parameters: Vec<_> = new.by_ref().take(count).collect();
        parameters.into_iter().map(|parameter| (parameter, new.next())).collect()
    })
}

pub fn adamw(jobs: Vec<AdamWJob>) -> Vec<(AnyTensor, [AnyTensor; 2])> {
    in_groups(
        jobs,
        |job| job.moments.is_some(),
        |_, jobs| {
            let rates = jobs.iter().map(|AdamWJob { step, .. }| {
                let (first, second) =
                    (step.beta1.powf(step.t as f64), step.beta2.powf(step.t as f64));
                let kept = 1.0 - step.learning_rate * step.weight_decay;
                let (beta1, beta2) = (step.beta1, step.beta2);
                let [not1, not2] = [1.0 - beta1, 1.0 - beta2];
                let [so_far1, so_far2] = [1.0 - first, 1.0 - second];
                let (epsilon, rate) = (step.epsilon, step.learning_rate);
                [beta1, not1, beta2, not2, so_far1, so_far2, epsilon, rate, kept].map(|x| x as f32)
            });
            let rule = AdamWRule { rates: rates.collect() };
            let moments = |i: usize| {
                jobs.iter().filter_map(|job| Some(job.moments.as_ref()?[i].clone())).collect()
            };
            let columns = [
                jobs.iter().map(|job| job.parameter.clone()).collect(),
                jobs.iter().map(|job| job.gradient.clone()).collect(),
                moments(0),
                moments(1),
            ];
            let count = jobs.len();
            drop(jobs);
            let list = <Dispatch as ListOps>::list_adamw(list(columns), rule);
            let mut new = list.0.into_iter().map(AnyTensor::from_dispatch);
            let mut column = || new.by_ref().take(count).collect::<Vec<_>>();
            let (parameters, first, second) = (column(), column(), column());
            let moments = first.into_iter().zip(second).map(|(m, v)| [m, v]);
            parameters.into_iter().zip(moments).collect()
        },
    )
}

pub fn moving_average(pairs: Vec<(AnyTensor, AnyTensor)>, tau: f64) -> Vec<AnyTensor> {
    let (averages, values) = pairs.into_iter().unzip();
    let list = <Dispatch as ListOps>::list_moving_average(list([averages, values]), tau);
    list.0.into_iter().map(AnyTensor::from_dispatch).collect()
}

pub fn norms(parameters: Vec<(AnyTensor, AnyTensor, f64)>) -> [Tensor<1>; 3] {
    let decays = parameters.iter().map(|(.., decay)| *decay as f32).collect();
    let (weights, gradients) = parameters.into_iter().map(|(w, g, _)| (w, g)).unzip();
    let (w, g, decayed) = <Dispatch as ListOps>::list_norms(list([weights, gradients]), decays);
    [w, g, decayed].map(Tensor::from_dispatch)
}

pub fn not_finite(tensors: Vec<AnyTensor>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as ListOps>::list_not_finite(list([tensors])))
}

fn list<const N: usize>(columns: [Vec<AnyTensor>; N]) -> TensorList<Dispatch> {
    TensorList(columns.into_iter().flatten().map(AnyTensor::into_dispatch).collect())
}

/// Runs `f` on the jobs of each kind, and puts the results into the jobs' order.
fn in_groups<T, K: PartialEq + Copy, R>(
    jobs: Vec<T>,
    kind: impl Fn(&T) -> K,
    f: impl Fn(K, Vec<T>) -> Vec<R>,
) -> Vec<R> {
    let mut groups: Vec<(K, Vec<usize>, Vec<T>)> = Vec::new();
    for (i, job) in jobs.into_iter().enumerate() {
        let kind = kind(&job);
        match groups.iter_mut().find(|(other, ..)| *other == kind) {
            Some((_, places, jobs)) => {
                places.push(i);
                jobs.push(job);
            }
            None => groups.push((kind, vec![i], vec![job])),
        }
    }
    let done =
        groups.into_iter().flat_map(|(kind, places, jobs)| places.into_iter().zip(f(kind, jobs)));
    let mut done: Vec<_> = done.collect();
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}
