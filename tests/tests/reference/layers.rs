use burn::module::{Module, Param};
use burn::tensor::{Device, Gradients, Tensor};
use selfsame_models::init::WeightInit;
use selfsame_models::layers::BatchNorm;
use selfsame_models::named::{NamedVisitor, visit_named};
use selfsame_models::weights::StateDict;
use selfsame_models::{Mlp, MlpConfig};
use selfsame_tests::fidelity::Item;
use selfsame_tests::inputs::{fill, noise, noise_tensor, reference, sampled, tensor, values};

/// Compares output, input gradient and, in train mode, the parameters' gradients of Σ y·w.
fn compare<M: Module, const D: usize, const E: usize>(
    items: &mut [Item; 2],
    reference: &StateDict,
    case: &str,
    module: &M,
    forward: impl Fn(&M, Tensor<D>) -> Tensor<E>,
    x: Tensor<D>,
) {
    let x = x.require_grad();
    let y = forward(module, x.clone());
    let weight = noise_tensor(977, y.dims(), &y.device());
    let gradients = (y.clone() * weight).sum().backward();
    let expected = |part: &str| &reference[&format!("{case}/{part}")].values;
    items[0].compare(case, &sampled(y), expected("output"));
    let input = sampled(x.grad(&gradients).unwrap());
    // Batch norm of two values is their sign, whatever they are: 0 on paper.
    let scale = if case.contains("2x3x1x1") { 1.0 } else { 0.0 };
    let input_case = format!("{case} input");
    items[1].compare_at_scale(&input_case, &input, expected("grad_input"), scale);
    visit_named(
        module,
        &mut Parameters { item: &mut items[1], gradients: &gradients, case, reference },
    );
}

struct Parameters<'a> {
    item: &'a mut Item,
    gradients: &'a Gradients,
    case: &'a str,
    reference: &'a StateDict,
}

impl NamedVisitor for Parameters<'_> {
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
        let Some(gradient) = param.val().grad(self.gradients) else { return };
        let expected = &self.reference[&format!("{}/grad/{name}", self.case)].values;
        // The bias in front of a batch norm has no effect, so its gradient is rounding.
        let idle = name.ends_with("0.linear.bias");
        let scale = if idle { 1.0 } else { 0.0 };
        self.item.compare_at_scale(
            &format!("{} {name}", self.case),
            &sampled(gradient),
            expected,
            scale,
        );
    }
}

fn items(outputs: &'static str, gradients: &'static str, reference: &'static str) -> [Item; 2] {
    [Item::new(outputs, reference, 1e-5), Item::new(gradients, reference, 1e-5)]
}

fn batch_norm_case<const D: usize>(
    items: &mut [Item; 2],
    running: &mut Item,
    reference: &StateDict,
    shape: [usize; D],
    (scale, offset): (f32, f32),
) {
    let device = Device::flex().autodiff();
    let text: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let case = format!("batch-norm/{}", text.join("x"));
    let input = |seed| tensor(noise(seed, shape.iter().product(), scale, offset), shape, &device);
    let norm = fill(BatchNorm::new(shape[1], 1.0, &WeightInit::new(0, 0, &device)), str::to_owned);
    for seed in [500, 501] {
        norm.forward(input(seed));
    }
    let forward = |norm: &BatchNorm, x| norm.forward(x);
    compare(items, reference, &format!("{case}/train"), &norm, forward, input(502));
    for (name, state) in [("running_mean", &norm.running_mean), ("running_var", &norm.running_var)]
    {
        let case = format!("{case}/{name}");
        running.compare(&case, &values(state.value()), &reference[&case].values);
    }
    // In eval mode there is no gradient to check on a plain device; the output is affine in x.
    let y = norm.valid().forward(tensor(
        noise(503, shape.iter().product(), scale, offset),
        shape,
        &Device::flex(),
    ));
    let case = format!("{case}/eval");
    items[0].compare(&case, &sampled(y), &reference[&format!("{case}/output")].values);
}

#[test]
fn batch_norm() {
    let reference = reference("layers");
    let mut items =
        items("batch norm, train and eval", "batch norm gradients", "PyTorch `BatchNorm1d/2d`");
    let mut running = Item::new("batch norm running statistics", "PyTorch `BatchNorm1d/2d`", 1e-5);
    batch_norm_case(&mut items, &mut running, &reference, [8, 5], (1.0, 0.0));
    batch_norm_case(&mut items, &mut running, &reference, [64, 128], (2.0, 100.0));
    batch_norm_case(&mut items, &mut running, &reference, [4, 6, 7, 5], (1.0, 0.0));
    batch_norm_case(&mut items, &mut running, &reference, [2, 3, 1, 1], (1.0, 0.0));
    batch_norm_case(&mut items, &mut running, &reference, [16, 8, 14, 14], (3.0, -10.0));
    running.finish();
    items.into_iter().for_each(Item::finish);
}

#[test]
fn projector_and_predictor() {
    let reference = reference("layers");
    let device = Device::flex().autodiff();
    let mut items = items(
        "projector, predictor",
        "projector and predictor gradients",
        "PyTorch `Linear`, `BatchNorm1d`",
    );
    for (name, config) in [
        ("byol", MlpConfig::byol(24, 48, 16)),
        ("barlow-twins", MlpConfig::without_bias(24, &[40, 40, 40])),
    ] {
        let head = config.init(&mut WeightInit::new(0, 0, &device)).unwrap();
        let head = fill(head, str::to_owned);
        let case = format!("head/{name}/train");
        let x = noise_tensor(504, [32, 24], &device);
        compare(&mut items, &reference, &case, &head, |m: &Mlp, x| m.forward(x), x);
        let case = format!("head/{name}/eval");
        let y = head.valid().forward(noise_tensor(505, [32, 24], &Device::flex()));
        items[0].compare(&case, &sampled(y), &reference[&format!("{case}/output")].values);
    }
    items.into_iter().for_each(Item::finish);
}
