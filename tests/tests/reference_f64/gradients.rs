use burn::tensor::Tensor;
use selfsame_models::init::WeightInit;
use selfsame_models::{Architecture, Encoder, ResNetConfig, Stem};
use selfsame_tests::fidelity::Item;
use selfsame_tests::inputs::{fill, images, noise_tensor, reference, sampled, tensor};

#[test]
fn resnet_features_and_input_gradients() {
    let reference = reference("resnets");
    let device = crate::device().autodiff();
    let source = "torchvision `resnet18/34/50`";
    let mut features = Item::new("ResNet-18/34/50 features in train mode, f64", source, 1e-5);
    let mut gradients = Item::new("ResNet-18/34/50 input gradients, f64", source, 1e-5);
    for (name, architecture) in [
        ("resnet18", Architecture::ResNet18),
        ("resnet34", Architecture::ResNet34),
        ("resnet50", Architecture::ResNet50),
    ] {
        for (stem_name, stem, side) in
            [("imagenet", Stem::ImageNet, 64), ("cifar", Stem::Cifar, 16)]
        {
            let config =
                ResNetConfig { architecture, stem, base_width: 64, zero_init_residual: false };
            let net = config.init(&mut WeightInit::new(0, 0, &device)).unwrap();
            let net = fill(net, str::to_owned);
            let x: Tensor<4> = tensor(images(600, 4, side), [4, 3, side, side], &device);
            let x = x.require_grad();
            let y = net.forward(x.clone());
            let weight = noise_tensor(977, y.dims(), &device);
            let backward = (y.clone() * weight).sum().backward();
            let expected =
                |part: &str| &reference[&format!("{name}/{stem_name}/train/{part}")].values;
            let case = format!("{name}, {stem_name} stem");
            features.compare(&case, &sampled(y), expected("output"));
            gradients.compare(&case, &sampled(x.grad(&backward).unwrap()), expected("grad_input"));
        }
    }
    features.finish();
    gradients.finish();
}
