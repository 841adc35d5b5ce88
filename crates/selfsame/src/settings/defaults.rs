//! Default settings, and what each setting means.

use std::sync::LazyLock;

use selfsame_augment::Interpolation;
use selfsame_models::Architecture;
use selfsame_trainers::TrustRatio;

use crate::settings::Method;
use crate::settings::Precision;
use crate::settings::{DataConfig, Pack};
use crate::settings::{
    DoctorSection, EncoderConfig, EvalSection, LearningRateScaling, OptimizerName,
    OptimizerSection, RunConfig, TrainSection, ViewsConfig,
};

/// The data set that comes with the repository.
pub const DATASET: &str = "fashion-mini";

/// Data sets of grayscale images. Colour jitter can only change their lightness.
const GRAYSCALE: [&str; 3] = ["fashion-mini", "fashion-mnist", "mnist"];

/// The default settings: a run of a few minutes on two cores with the default data set.
///
/// They were chosen on the last 1,500 training images of `fashion-mini`; see
/// `docs/decisions/0003-default-recipe.md`.
pub fn config(method: Method, dataset: Option<&str>) -> RunConfig {
    let grayscale = dataset.is_some_and(|name| GRAYSCALE.contains(&name));
    let own = method.small_run();
    RunConfig {
        method,
        seed: 0,
        device: "flex".into(),
        precision: Precision::F32,
        data: DataConfig {
            dataset: dataset.map(str::to_owned),
            images: None,
            follow_links: follow_links(),
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
        settings: own.settings,
        train: TrainSection {
            epochs: own.epochs,
            stop_after: None,
            batch_size: own.batch_size,
            batch_size_given: false,
            accumulation: 1,
            warmup_epochs: 0.5,
            checkpoint_every: 1,
            checkpoint_minutes: checkpoint_minutes(),
            keep_checkpoints: keep_checkpoints(),
            sync_batch_norm: sync_batch_norm(),
            nccl: nccl(),
            read_every: None,
        },
        optimizer: OptimizerSection {
            name: OptimizerName::Sgd,
            learning_rate: own.learning_rate,
            scaling: LearningRateScaling::None,
            final_fraction: 0.0,
            weight_decay: own.weight_decay,
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
        // Lightness is the shortcut on grayscale images. So it varies strongly.
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

/// The pair of views of BYOL and Barlow Twins. Blur depends on the size of a view.
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
        on_device: false,
    }
}

/// Every setting with its meaning, in the words of `selfsame config`. Those of the methods are the
/// doc comments of their settings.
pub fn meanings() -> &'static [(String, String)] {
    static MEANINGS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
        let common = COMMENTS.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        let of_methods = Method::ALL.iter().flat_map(|method| {
            let meanings = method.meanings().iter();
            meanings
                .map(|(name, text)| (format!("{}.{name}", method.section()), in_a_comment(text)))
        });
        common.chain(of_methods).collect()
    });
    &MEANINGS
}

/// A doc comment without its marks: `` `false` `` is `false`.
fn in_a_comment(text: &str) -> String {
    text.trim().trim_end_matches('.').replace('`', "")
}

/// What each setting means, but for those of the methods.
const COMMENTS: &[(&str, &str)] = &[
    ("method", "one of those that `selfsame pretrain --help` lists"),
    ("seed", "fixes initial weights, shuffling and augmentation"),
    (
        "precision",
        "what convolutions and linear layers multiply: f32, or bf16 with sums and weights in f32",
    ),
    (
        "device",
        "flex (CPU); with a build that has it: cuda[:N] (NVIDIA), wgpu (any GPU) or ndarray \
         (another CPU backend)",
    ),
    ("data.dataset", "a name from `selfsame dataset list`"),
    ("data.images", "a folder of images, in place of a data set"),
    (
        "data.follow_links",
        "true: follow symbolic links in a folder of images; false: leave them out and list them",
    ),
    ("data.limit", "train on N images only, the first ones of each class; unset: all"),
    ("data.test_limit", "test on N images only, the first ones of each class; unset: all"),
    (
        "data.fraction",
        "train on this share of the images only, drawn evenly from the classes; unset: all",
    ),
    (
        "data.validation",
        "hold out this share of the training images and test on it, to choose settings",
    ),
    ("data.split_seed", "fixes what data.fraction, data.validation and eval.labels draw"),
    (
        "data.pack",
        "decode images once into a file for later epochs and runs: auto, on or off; auto: if they do not fit into memory",
    ),
    (
        "data.pack_side",
        "shorter side of packed images; 0: keep their size; unset: twice views.size",
    ),
    ("data.threads", "threads that decode and augment; unset: one per core"),
    ("data.prefetch", "batches prepared ahead of training"),
    ("views.size", "side of a view in pixels; unset: that of the images up to 64, else 96"),
    ("views.crop_scale", "smallest and largest share of the image's area in a crop"),
    ("views.crop_ratio", "smallest and largest width over height of a crop"),
    ("views.interpolation", "bilinear or bicubic, both antialiased"),
    ("views.flip_probability", "probability of a horizontal flip"),
    ("views.jitter_probability", "probability of colour jitter"),
    ("views.brightness", "strength of the brightness jitter"),
    ("views.contrast", "strength of the contrast jitter"),
    ("views.saturation", "strength of the saturation jitter"),
    ("views.hue", "strength of the hue jitter in turns, at most 0.5"),
    ("views.grayscale_probability", "probability of grayscale"),
    (
        "views.blur_probability",
        "probability of Gaussian blur in views 1 and 2; unset: [1.0, 0.1] above 64 pixels, else none",
    ),
    ("views.blur_sigma", "smallest and largest standard deviation of the blur in pixels"),
    (
        "views.solarize_probability",
        "probability of solarization (light pixels are inverted) in views 1 and 2",
    ),
    ("views.mean", "subtracted per channel; unset: the mean of the training images"),
    ("views.std", "divides each channel; unset: the standard deviation of the training images"),
    (
        "views.on_device",
        "true: make views on the GPU, for a GPU that waits for the CPU; unset: on the CPU",
    ),
    ("encoder.architecture", "resnet18, resnet34 or resnet50"),
    (
        "encoder.stem",
        "cifar (3×3, stride 1) or imagenet (7×7, stride 2, pooling); unset: by the size of a view",
    ),
    ("encoder.base_width", "channels of the first stage: 64 in the paper, 8 or 16 for CPUs"),
    ("encoder.zero_init_residual", "start every residual block as the identity"),
    ("train.epochs", "passes over the training images; schedules end with the last"),
    (
        "train.stop_after",
        "stop after this many epochs of the schedule, fractions allowed; unset: never",
    ),
    ("train.batch_size", "images in an optimiser step"),
    (
        "train.accumulation",
        "parts of a batch that are computed one after another; must divide batch_size",
    ),
    ("train.warmup_epochs", "epochs of linear warm-up of the learning rate, fractions allowed"),
    ("train.checkpoint_every", "epochs between checkpoints"),
    ("train.checkpoint_minutes", "at most this many minutes of training between two checkpoints"),
    (
        "train.keep_checkpoints",
        "how many of the newest checkpoints to keep; the best is always kept",
    ),
    (
        "train.sync_batch_norm",
        "with several processes: true: batch norm over the whole batch, as in one process; false: over each process's part",
    ),
    (
        "train.nccl",
        "with several GPUs in one process: true: sum with NCCL if it is installed; false: through host memory",
    ),
    (
        "train.read_every",
        "steps between reads of the loss, since each read makes a GPU wait; unset: 1 on a CPU, 16 on a GPU",
    ),
    ("optimizer.name", "sgd, adamw or lars"),
    ("optimizer.learning_rate", "learning rate at the end of the warm-up"),
    (
        "optimizer.scaling",
        "none: learning_rate as given; linear256 or sqrt256: learning_rate is for 256 images and scales with batch_size or its square root",
    ),
    ("optimizer.final_fraction", "share of the learning rate at the end of the cosine"),
    ("optimizer.weight_decay", "weight decay λ"),
    (
        "optimizer.exclude_bias_and_norm",
        "no weight decay and no LARS scaling for biases and batch norm",
    ),
    ("optimizer.momentum", "momentum, for sgd and lars"),
    ("optimizer.nesterov", "Nesterov momentum, for sgd"),
    ("optimizer.beta1", "β₁, for adamw"),
    ("optimizer.beta2", "β₂, for adamw"),
    ("optimizer.epsilon", "ε, for adamw"),
    ("optimizer.eta", "trust coefficient η, for lars"),
    (
        "optimizer.trust_ratio",
        "for lars: combined, η‖w‖/‖g + λw‖, as in the authors' code; or separate, η‖w‖/(‖g‖ + λ‖w‖)",
    ),
    ("optimizer.clip", "for lars: never a longer step than sgd"),
    ("eval.every", "epochs between evaluations in training; 0: only at the end"),
    ("eval.knn_k", "neighbours that vote in k-NN"),
    (
        "eval.knn_temperature",
        "temperature of k-NN: the smaller, the more the nearest neighbours count",
    ),
    ("eval.linear_probe", "true: fit a linear probe at the end"),
    (
        "eval.labels",
        "labels for the probes: a share such as \"1%\", or a number per class such as 10; unset: all",
    ),
    ("eval.batch_size", "images in a batch through the frozen encoder"),
    ("doctor.images", "images whose views the doctor checks for collapse, at every evaluation"),
    (
        "doctor.stop_after",
        "stop training after this many collapsed evaluations in a row, the first not counted; unset: never",
    ),
];

/// A crash loses at most this much training.
pub fn checkpoint_minutes() -> f64 {
    10.0
}

/// The newest checkpoint, and the one before it in case the newest is damaged.
pub fn keep_checkpoints() -> usize {
    2
}

/// Data sets are often folders of links to images in other places.
pub fn follow_links() -> bool {
    true
}

/// NCCL is used where it is installed.
pub fn nccl() -> bool {
    true
}

/// Several processes train the same network as one process.
pub fn sync_batch_norm() -> bool {
    true
}
