//! Default settings, and what each setting means.

use selfsame_augment::Interpolation;
use selfsame_models::Architecture;
use selfsame_trainers::{BarlowTwinsConfig, ByolConfig, TrustRatio};

use crate::config::{
    DoctorSection, EncoderConfig, EvalSection, LearningRateScaling, Method, OptimizerName,
    OptimizerSection, RunConfig, TrainSection, ViewsConfig,
};
use crate::data::{DataConfig, Pack};
use crate::precision::Precision;

/// Comes with the repository.
pub const DATASET: &str = "fashion-mini";

/// Sets whose images are grayscale, so that colour jitter has nothing but lightness to change.
const GRAYSCALE: [&str; 3] = ["fashion-mini", "fashion-mnist", "mnist"];

/// A run of some minutes on two cores with the default data set.
///
/// Chosen on the last 1,500 of `fashion-mini`'s training images; see
/// `docs/decisions/0003-default-recipe.md`.
pub fn config(method: Method, dataset: Option<&str>) -> RunConfig {
    let grayscale = dataset.is_some_and(|name| GRAYSCALE.contains(&name));
    let byol = method == Method::Byol;
    RunConfig {
        method,
        seed: 0,
        device: "flex".into(),
        precision: Precision::F32,
        data: DataConfig {
            dataset: dataset.map(str::to_owned),
            images: None,
            limit: None,
            test_limit: None,
            fraction: None,
            validation: None,
            split_seed: 0,
            pack: Pack::Auto,
            pack_side: None,
            threads: None,
            prefetch: 2,
        },
        views: if grayscale { grayscale_views() } else { color_views() },
        encoder: EncoderConfig {
            architecture: Architecture::ResNet18,
            stem: None,
            base_width: 8,
            zero_init_residual: false,
        },
        byol: byol.then_some(ByolConfig {
            projector_hidden: 512,
            projector_dim: 128,
            predictor_hidden: 512,
            tau_base: 0.995,
            ..ByolConfig::default()
        }),
        barlow_twins: (!byol).then(|| BarlowTwinsConfig {
            projector: vec![256, 64],
            lambda: 0.005,
            loss_scale: 1.0,
        }),
        train: TrainSection {
            epochs: if byol { 12 } else { 20 },
            stop_after: None,
            batch_size: if byol { 16 } else { 32 },
            accumulation: 1,
            warmup_epochs: 0.5,
            checkpoint_every: 1,
        },
        optimizer: OptimizerSection {
            name: OptimizerName::Sgd,
            // Barlow Twins' loss is a sum over its dimensions, BYOL's a mean over images.
            learning_rate: if byol { 0.05 } else { 3e-3 },
            scaling: LearningRateScaling::None,
            final_fraction: 0.0,
            weight_decay: if byol { 1e-3 } else { 3e-3 },
            exclude_bias_and_norm: true,
            momentum: 0.9,
            nesterov: false,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            eta: 0.001,
            trust_ratio: TrustRatio::Combined,
            clip: false,
        },
        eval: EvalSection {
            every: 1,
            knn_k: 20,
            knn_temperature: 0.1,
            linear_probe: true,
            labels: None,
            batch_size: 256,
        },
        doctor: DoctorSection::default(),
    }
}

fn grayscale_views() -> ViewsConfig {
    ViewsConfig {
        crop_scale: [0.5, 1.0],
        // Lightness is the shortcut on grayscale images, so it varies strongly.
        jitter_probability: 1.0,
        brightness: 0.8,
        contrast: 0.8,
        saturation: 0.0,
        hue: 0.0,
        grayscale_probability: 0.0,
        blur_probability: Some([0.5, 0.5]),
        blur_sigma: [0.1, 0.8],
        solarize_probability: [0.0, 0.2],
        interpolation: Interpolation::Bilinear,
        ..color_views()
    }
}

/// The pair of BYOL and Barlow Twins; whether it blurs depends on the size.
fn color_views() -> ViewsConfig {
    ViewsConfig {
        size: None,
        crop_scale: [0.08, 1.0],
        crop_ratio: [3.0 / 4.0, 4.0 / 3.0],
        interpolation: Interpolation::Bicubic,
        flip_probability: 0.5,
        jitter_probability: 0.8,
        brightness: 0.4,
        contrast: 0.4,
        saturation: 0.2,
        hue: 0.1,
        grayscale_probability: 0.2,
        blur_probability: None,
        blur_sigma: [0.1, 2.0],
        solarize_probability: [0.0, 0.2],
        mean: None,
        std: None,
    }
}

/// What each setting means, in the words of `cargo xtask config`.
pub const COMMENTS: &[(&str, &str)] = &[
    ("method", "byol or barlow-twins"),
    ("seed", "fixes initial weights, shuffling and augmentation"),
    ("precision", "f32, or bf16: what convolutions and linear layers multiply on a CPU"),
    ("device", "flex (CPU), ndarray (CPU), cuda[:N] (NVIDIA, needs a build with --features cuda)"),
    ("data.dataset", "a name from `cargo xtask dataset list`"),
    ("data.images", "a folder of images instead of a data set"),
    (
        "data.limit",
        "train on the first so many images only, evenly across the classes; all if unset",
    ),
    (
        "data.test_limit",
        "test on the first so many images only, evenly across the classes; all if unset",
    ),
    (
        "data.fraction",
        "train on this share of the images only, drawn evenly from the classes; all if unset",
    ),
    (
        "data.validation",
        "hold this share of the training images out and test on them in place of the test images, to choose settings by",
    ),
    ("data.split_seed", "fixes what data.fraction, data.validation and eval.labels draw"),
    (
        "data.pack",
        "auto, on or off: decode once into a file that later epochs and runs read; auto if the images do not fit into memory",
    ),
    (
        "data.pack_side",
        "packed images are reduced to this shorter side, 0 keeps their size; twice views.size if unset",
    ),
    ("data.threads", "threads that decode and augment; one per core if unset"),
    ("data.prefetch", "batches kept ready ahead of the trainer"),
    ("views.size", "side of a view in pixels; if unset, the images' own up to 64, else 96"),
    ("views.crop_scale", "smallest and largest share of the image's area in a crop"),
    ("views.crop_ratio", "smallest and largest width over height of a crop"),
    ("views.interpolation", "bilinear or bicubic, both antialiased"),
    ("views.flip_probability", "of a horizontal flip"),
    ("views.jitter_probability", "of colour jitter"),
    ("views.brightness", "strength of the brightness jitter"),
    ("views.contrast", "strength of the contrast jitter"),
    ("views.saturation", "strength of the saturation jitter"),
    ("views.hue", "strength of the hue jitter in turns, at most 0.5"),
    ("views.grayscale_probability", "of losing all colour"),
    (
        "views.blur_probability",
        "of Gaussian blur in view 1 and 2; if unset, [1.0, 0.1] above 64 pixels, else none",
    ),
    ("views.blur_sigma", "smallest and largest standard deviation of the blur in pixels"),
    ("views.solarize_probability", "of inverting light pixels, in view 1 and 2"),
    ("views.mean", "subtracted per channel; the training images' own if unset"),
    ("views.std", "divides per channel; the training images' own if unset"),
    ("encoder.architecture", "resnet18, resnet34 or resnet50"),
    (
        "encoder.stem",
        "cifar (3×3, stride 1) or imagenet (7×7, stride 2, pooling); by the view's size if unset",
    ),
    ("encoder.base_width", "channels of the first stage: 64 in the paper, 8 or 16 for CPUs"),
    ("encoder.zero_init_residual", "start every residual block as the identity"),
    ("byol.projector_hidden", "hidden width of the projector: 4096 in the paper"),
    ("byol.projector_dim", "dimension of the embedding: 256 in the paper"),
    ("byol.predictor_hidden", "hidden width of the predictor: 4096 in the paper"),
    ("byol.tau_base", "momentum τ of the target at the first step"),
    ("byol.tau_schedule", "cosine: τ is raised to 1 along a cosine; constant: it stays"),
    ("byol.predictor", "false takes the predictor away, as an experiment: it collapses"),
    (
        "byol.stop_gradient",
        "false lets the gradient into the target, as an experiment: it collapses",
    ),
    ("barlow_twins.projector", "widths of the projector: three of 8192 in the paper"),
    ("barlow_twins.lambda", "weight of the redundancy-reduction term: 0.0051 in the paper"),
    ("barlow_twins.loss_scale", "factor on the whole loss"),
    ("train.epochs", "passes over the training images; the schedules end with them"),
    (
        "train.stop_after",
        "stop after so many epochs of the schedule, as if interrupted; unset: never",
    ),
    ("train.batch_size", "images in an optimiser step"),
    ("train.accumulation", "parts that a step is computed in; divides batch_size"),
    ("train.warmup_epochs", "epochs of linear warm-up of the learning rate, fractions allowed"),
    ("train.checkpoint_every", "epochs between checkpoints"),
    ("optimizer.name", "sgd, adamw or lars"),
    ("optimizer.learning_rate", "at the end of the warm-up"),
    (
        "optimizer.scaling",
        "none, or linear256: learning_rate is for 256 images and scales with batch_size",
    ),
    ("optimizer.final_fraction", "share of the learning rate that the cosine ends at"),
    ("optimizer.weight_decay", "λ"),
    (
        "optimizer.exclude_bias_and_norm",
        "leave biases and batch norm out of weight decay and LARS scaling",
    ),
    ("optimizer.momentum", "of sgd and lars"),
    ("optimizer.nesterov", "of sgd"),
    ("optimizer.beta1", "of adamw"),
    ("optimizer.beta2", "of adamw"),
    ("optimizer.epsilon", "of adamw"),
    ("optimizer.eta", "trust coefficient of lars"),
    (
        "optimizer.trust_ratio",
        "of lars: combined (η‖w‖/‖g + λw‖, the papers' codes) or separate (η‖w‖/(‖g‖ + λ‖w‖))",
    ),
    ("optimizer.clip", "of lars: never step further than sgd would"),
    ("eval.every", "epochs between evaluations during training; 0: only at the end"),
    ("eval.knn_k", "neighbours that vote"),
    ("eval.knn_temperature", "the smaller, the more the nearest neighbours count"),
    ("eval.linear_probe", "fit a linear probe at the end"),
    (
        "eval.labels",
        "labels that the probes know: a share such as \"1%\", or a number for each class such as 10; all if unset",
    ),
    ("eval.batch_size", "images at a time through the frozen encoder"),
    ("doctor.images", "images whose two views are looked at for collapse, at every evaluation"),
    (
        "doctor.stop_after",
        "stop training when so many evaluations in a row, the first not counted, find a collapse; never if unset",
    ),
];
