use burn::module::Module;
use burn::tensor::{Device, Tensor};
use selfsame_models::init::WeightInit;
use selfsame_models::weights::{load_state_dict, without_classifier};
use selfsame_models::{Architecture, Encoder, ResNetConfig, Stem};
use selfsame_tests::fidelity::Item;
use selfsame_tests::inputs::{fill, images, noise_tensor, reference, sampled, tensor, values};

fn config(architecture: Architecture, stem: Stem, base_width: usize) -> ResNetConfig {
    ResNetConfig { architecture, stem, base_width, zero_init_residual: false }
}

#[test]
fn features_and_input_gradients() {
    let reference = reference("resnets");
    let device = Device::flex().autodiff();
    let source = "torchvision `resnet18/34/50`";
    let mut eval = Item::new("ResNet-18/34/50 features in eval mode", source, 1e-5);
    let mut train = Item::new("ResNet-18/34/50 features in train mode", source, 1e-4).note(
        "f32 through up to 53 batch norms; PyTorch's own f32 is up to 6e-5 from its f64 here",
    );
    let mut gradients = Item::new("ResNet-18/34/50 input gradients", source, 3e-1).note(
        "rounding flips ReLUs whose input is near 0, which differs from CPU to CPU; PyTorch's own \
         f32 is up to 1e-2 from its f64 here. The f64 row is the comparison that means something",
    );
    for (name, architecture) in [
        ("resnet18", Architecture::ResNet18),
        ("resnet34", Architecture::ResNet34),
        ("resnet50", Architecture::ResNet50),
    ] {
        for (stem_name, stem, side) in
            [("imagenet", Stem::ImageNet, 64), ("cifar", Stem::Cifar, 16)]
        {
            let net =
                config(architecture, stem, 64).init(&mut WeightInit::new(0, 0, &device)).unwrap();
            let net = fill(net, str::to_owned);
            let shape = [4, 3, side, side];
            let expected = |part: &str| &reference[&format!("{name}/{stem_name}/{part}")].values;

            let case = format!("{name}, {stem_name} stem, eval");
            let y = net.valid().forward(tensor(images(600, 4, side), shape, &Device::flex()));
            eval.compare(&case, &sampled(y), expected("eval/output"));

            let case = format!("{name}, {stem_name} stem, train");
            let x: Tensor<4> = tensor(images(600, 4, side), shape, &device).require_grad();
            let y = net.forward(x.clone());
            let weight = noise_tensor(977, y.dims(), &device);
            let backward = (y.clone() * weight).sum().backward();
            train.compare(&case, &sampled(y), expected("train/output"));
            let ours = sampled(x.grad(&backward).unwrap());
            gradients.compare(&case, &ours, expected("train/grad_input"));
        }
    }
    eval.finish();
    train.finish();
    gradients.finish();
}

/// The file is what `save_file(model.state_dict(), …)` writes, batch counters and classifier in it.
#[test]
fn a_whole_torchvision_state_dict_loads_by_its_own_names() {
    let device = Device::flex();
    let net = config(Architecture::ResNet18, Stem::Cifar, 2)
        .init(&mut WeightInit::new(9, 0, &device))
        .unwrap();
    let dict = without_classifier(reference("torchvision-names"));
    let net = load_state_dict(net, &dict).unwrap();
    let y = net.forward(tensor(images(610, 2, 16), [2, 3, 16, 16], &device));
    let mut item = Item::new("a torchvision `state_dict` by its names", "torchvision blocks", 1e-5);
    let expected = &reference("torchvision-names-features")["features"].values;
    item.compare("resnet18 of width 2", &values(y), expected);
    item.finish();
}
