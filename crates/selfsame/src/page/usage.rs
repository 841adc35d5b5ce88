//! The command of a run, and how to load its weights.

use selfsame_models::{ResNetConfig, Stem};
use selfsame_report::Snippet;

use crate::folder::{CONFIG, ENCODER, RunFolder};
use crate::settings::RunConfig;
use crate::words::pasted;

/// The command line of this run. The command of a resumed run does not show its settings. Then it
/// is a command with the saved settings.
pub fn command(given: Option<&str>, config: &RunConfig, folder: &RunFolder) -> String {
    if let Some(given) = given.filter(|given| !given.contains("--resume")) {
        return given.to_owned();
    }
    let settings = pasted(&folder.file(CONFIG));
    format!("selfsame pretrain {} --config {settings}", config.method.name())
}

/// How to load the encoder in Python and in Rust.
pub fn snippets(config: &RunConfig) -> Vec<Snippet> {
    let encoder = config.encoder.resnet();
    let view = config.views.view(0);
    let (mean, std) = (rounded(view.mean), rounded(view.std));
    let note = format!("images of {0}×{0}: (pixels / 255 − {mean}) / {std}", view.size);
    let snippet = |title: &str, code| Snippet { title: title.into(), code };
    vec![
        snippet("Load the encoder in Python, in the run's folder", python(&encoder, &note)),
        snippet("Load the encoder in Rust, in the run's folder", rust(&encoder, &note)),
    ]
}

fn python(encoder: &ResNetConfig, note: &str) -> String {
    let name = format!("{:?}", encoder.architecture).to_lowercase();
    let stem = match encoder.stem {
        Stem::ImageNet => "",
        Stem::Cifar => {
            "encoder.conv1.stride, encoder.conv1.padding = (1, 1), (1, 1)\n\
             encoder.maxpool = torch.nn.Identity()\n"
        }
    };
    // torchvision only builds a width of 64, but it computes with weights of any width.
    format!(
        "import torch, torchvision\n\
         from safetensors.torch import load_file\n\n\
         encoder = torchvision.models.{name}()\n\
         encoder.fc = torch.nn.Identity()\n\
         {stem}\
         for name, weights in load_file(\"{ENCODER}\").items():\n    \
             layer, _, part = name.rpartition(\".\")\n    \
             getattr(encoder.get_submodule(layer), part).data = weights\n\
         features = encoder.eval()(images)  # {note}\n"
    )
}

fn rust(encoder: &ResNetConfig, note: &str) -> String {
    let ResNetConfig { architecture, stem, base_width, zero_init_residual } = encoder;
    format!(
        "use burn::tensor::Device;\n\
         use selfsame_models::init::WeightInit;\n\
         use selfsame_models::weights::{{load_state_dict, read_safetensors}};\n\
         use selfsame_models::{{Architecture, Encoder, ResNetConfig, Stem}};\n\n\
         let config = ResNetConfig {{\n    \
             architecture: Architecture::{architecture:?},\n    \
             stem: Stem::{stem:?},\n    \
             base_width: {base_width},\n    \
             zero_init_residual: {zero_init_residual},\n\
         }};\n\
         let encoder = config.init(&mut WeightInit::new(0, 0, &Device::flex()))?;\n\
         let (weights, _) = read_safetensors(\"{ENCODER}\".as_ref())?;\n\
         let encoder = load_state_dict(encoder, &weights)?;\n\
         let features = encoder.forward(images); // {note}\n"
    )
}

/// One number if all three are equal.
fn rounded(channels: [f32; 3]) -> String {
    let [red, green, blue] = channels.map(|v| format!("{v:.4}"));
    if red == green && green == blue { red } else { format!("[{red}, {green}, {blue}]") }
}

#[cfg(test)]
mod tests {
    use selfsame_models::Architecture;

    use super::*;

    #[test]
    fn the_code_builds_the_encoder_of_the_run() {
        let mut encoder = ResNetConfig {
            architecture: Architecture::ResNet50,
            stem: Stem::Cifar,
            base_width: 8,
            zero_init_residual: false,
        };
        let (python_code, rust_code) = (python(&encoder, "n"), rust(&encoder, "n"));
        assert!(python_code.contains("torchvision.models.resnet50()"), "{python_code}");
        assert!(python_code.contains("maxpool = torch.nn.Identity()"), "{python_code}");
        assert!(
            rust_code.contains("Architecture::ResNet50,\n    stem: Stem::Cifar,"),
            "{rust_code}"
        );
        encoder.stem = Stem::ImageNet;
        assert!(!python(&encoder, "n").contains("maxpool"));
        assert_eq!(rounded([0.25; 3]), "0.2500");
        assert_eq!(rounded([0.25, 0.5, 0.5]), "[0.2500, 0.5000, 0.5000]");
    }
}
