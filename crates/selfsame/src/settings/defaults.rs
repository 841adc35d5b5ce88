//! Default settings, and what each setting means.

use selfsame_augment::Interpolation;
use selfsame_models::Architecture;
use selfsame_trainers::{
    BarlowTwinsConfig, ByolConfig, DinoConfig, LeJepaConfig, MocoV3Config, SimClrConfig,
    SimSiamConfig, TauSchedule, TrustRatio, VicRegConfig, WMseConfig,
};

use crate::settings::Precision;
use crate::settings::{DataConfig, Pack};
use crate::settings::{
    DoctorSection, EncoderConfig, EvalSection, LearningRateScaling, OptimizerName,
    OptimizerSection, RunConfig, TrainSection, ViewsConfig,
};
use crate::settings::{Method, MethodConfig};

/// Comes with the repository.
pub const DATASET: &str = "fashion-mini";

/// Sets whose images are grayscale, so that colour jitter has nothing but lightness to change.
const GRAYSCALE: [&str; 3] = ["fashion-mini", "fashion-mnist", "mnist"];

/// What differs between the methods.
struct Own {
    settings: MethodConfig,
    epochs: u64,
    batch_size: usize,
    /// Losses that are sums over dimensions want a smaller one than means over images.
    learning_rate: f64,
    weight_decay: f64,
}

fn own(method: Method) -> Own {
    let run = |settings, epochs, batch_size, learning_rate, weight_decay| Own {
        settings,
        epochs,
        batch_size,
        learning_rate,
        weight_decay,
    };
    match method {
        Method::Byol => {
            let byol = ByolConfig {
                projector_hidden: 512,
                projector_dim: 128,
                predictor_hidden: 512,
                tau_base: 0.9,
                ..ByolConfig::default()
            };
            run(MethodConfig::Byol(byol), 30, 64, 0.1, 1e-3)
        }
        Method::BarlowTwins => {
            let barlow = BarlowTwinsConfig {
                projector: vec![256, 64],
                lambda: 0.005,
                ..BarlowTwinsConfig::default()
            };
            run(MethodConfig::BarlowTwins(barlow), 40, 64, 1e-2, 1e-2)
        }
        Method::SimClr => {
            let simclr =
                SimClrConfig { projector_hidden: 512, projector_dim: 128, temperature: 0.2 };
            run(MethodConfig::SimClr(simclr), 20, 64, 0.1, 1e-3)
        }
        Method::MocoV3 => {
            let moco = MocoV3Config {
                projector_hidden: 512,
                projector_dim: 128,
                predictor_hidden: 512,
                temperature: 0.2,
                tau_base: 0.99,
                tau_schedule: TauSchedule::Cosine,
            };
            run(MethodConfig::MocoV3(moco), 16, 64, 0.1, 1e-3)
        }
        Method::SimSiam => {
            let simsiam = SimSiamConfig {
                projector_dim: 128,
                predictor_hidden: 64,
                predictor: true,
                stop_gradient: true,
            };
            run(MethodConfig::SimSiam(simsiam), 20, 32, 0.1, 1e-4)
        }
        Method::VicReg => {
            let vicreg = VicRegConfig {
                projector: vec![256, 64],
                invariance: 25.0,
                variance: 25.0,
                covariance: 1.0,
            };
            run(MethodConfig::VicReg(vicreg), 20, 32, 5e-3, 1e-3)
        }
        Method::WMse => {
            let w_mse = WMseConfig {
                projector_hidden: 512,
                projector_dim: 32,
                sub_batch: 64,
                epsilon: 1e-4,
            };
            run(MethodConfig::WMse(w_mse), 20, 64, 0.05, 1e-3)
        }
        Method::Dino => {
            let dino = DinoConfig {
                projector_hidden: 512,
                bottleneck: 64,
                prototypes: 512,
                student_temperature: 0.1,
                teacher_temperature: 0.04,
                teacher_temperature_start: 0.04,
                teacher_warmup: 0.3,
                center_momentum: 0.9,
                tau_base: 0.99,
                tau_schedule: TauSchedule::Cosine,
            };
            run(MethodConfig::Dino(dino), 16, 32, 0.1, 1e-4)
        }
        Method::LeJepa => {
            let lejepa = LeJepaConfig { projector: vec![512, 64], lambda: 0.05, slices: 256 };
            run(MethodConfig::LeJepa(lejepa), 20, 64, 0.1, 1e-3)
        }
    }
}

/// A run of some minutes on two cores with the default data set.
///
/// Chosen on the last 1,500 of `fashion-mini`'s training images; see
/// `docs/decisions/0003-default-recipe.md`.
pub fn config(method: Method, dataset: Option<&str>) -> RunConfig {
    let grayscale = dataset.is_some_and(|name| GRAYSCALE.contains(&name));
    let own = own(method);
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
        on_device: false,
    }
}

/// What each setting means, in the words of `selfsame config`.
pub const COMMENTS: &[(&str, &str)] = &[
    ("method", "which of `selfsame pretrain --help`"),
    ("seed", "fixes initial weights, shuffling and augmentation"),
    ("precision", "f32, or bf16: what convolutions and linear layers multiply on a CPU"),
    ("device", "flex (CPU), ndarray (CPU), cuda[:N] (NVIDIA, needs a build with --features cuda)"),
    ("data.dataset", "a name from `selfsame dataset list`"),
    ("data.images", "a folder of images instead of a data set"),
    (
        "data.follow_links",
        "symbolic links in a folder of images are followed; false: they are left out and listed",
    ),
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
    (
        "views.on_device",
        "true: made on the device that trains, for a GPU that the CPU cannot keep up with; if unset, on the CPU",
    ),
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
    ("byol.head_norm", "false takes batch norm out of projector and predictor, as an experiment"),
    ("barlow_twins.projector", "widths of the projector: three of 8192 in the paper"),
    ("barlow_twins.lambda", "weight of the redundancy-reduction term: 0.0051 in the paper"),
    ("barlow_twins.loss_scale", "factor on the whole loss"),
    ("barlow_twins.head_norm", "false takes batch norm out of the projector, as an experiment"),
    (
        "barlow_twins.standardize",
        "false leaves embeddings as they are before their correlation, as an experiment: it collapses",
    ),
    ("simclr.projector_hidden", "hidden width of the projector: 2048 in the paper"),
    ("simclr.projector_dim", "dimension of the embedding: 128 in the paper"),
    (
        "simclr.temperature",
        "0.1 on ImageNet, 0.5 on CIFAR-10 in the paper; smaller looks at hard negatives",
    ),
    ("moco_v3.projector_hidden", "hidden width of the projector: 4096 in the paper"),
    ("moco_v3.projector_dim", "dimension of the embedding: 256 in the paper"),
    ("moco_v3.predictor_hidden", "hidden width of the predictor: 4096 in the paper"),
    ("moco_v3.temperature", "1.0 for ResNet-50 in the authors' code"),
    ("moco_v3.tau_base", "momentum of the key encoder at the first step: 0.99 in the paper"),
    ("moco_v3.tau_schedule", "cosine: it is raised to 1 along a cosine; constant: it stays"),
    ("simsiam.projector_dim", "width of all layers of the projector: 2048 in the paper"),
    ("simsiam.predictor_hidden", "hidden width of the predictor, a bottleneck: 512 in the paper"),
    ("simsiam.predictor", "false takes the predictor away, as an experiment: it collapses"),
    (
        "simsiam.stop_gradient",
        "false lets the gradient into both sides, as an experiment: it collapses",
    ),
    ("vicreg.projector", "widths of the projector: three of 8192 in the paper"),
    ("vicreg.invariance", "weight of the distance between views: 25 in the paper"),
    ("vicreg.variance", "weight of the hinge on the deviations: 25 in the paper"),
    ("vicreg.covariance", "weight of the covariances: 1 in the paper"),
    ("w_mse.projector_hidden", "hidden width of the projector: 1024 in the paper"),
    ("w_mse.projector_dim", "dimension of the embedding: 64 on CIFAR in the paper"),
    (
        "w_mse.sub_batch",
        "images that are whitened together; more than half of projector_dim, better twice of it",
    ),
    ("w_mse.epsilon", "added to the variances before whitening"),
    ("dino.projector_hidden", "width of the head's hidden layers: 2048 in the paper"),
    ("dino.bottleneck", "dimension that is normalised before the prototypes: 256 in the paper"),
    ("dino.prototypes", "outputs of the head: 65536 in the paper, 4096 on CIFAR"),
    ("dino.student_temperature", "0.1 in the paper"),
    ("dino.teacher_temperature", "after its warm-up: 0.04 to 0.07 in the paper"),
    ("dino.teacher_temperature_start", "at the first step: 0.04 in the paper"),
    ("dino.teacher_warmup", "share of the run in which it gets there"),
    ("dino.center_momentum", "how long the centre remembers: 0.9 in the paper"),
    ("dino.tau_base", "momentum of the teacher at the first step: 0.996 in the paper"),
    ("dino.tau_schedule", "cosine: it is raised to 1 along a cosine; constant: it stays"),
    ("lejepa.projector", "widths of the projector"),
    ("lejepa.lambda", "share of SIGReg in the loss: 0.05 in the paper"),
    ("lejepa.slices", "random directions that are looked along in each step: 1024 in the paper"),
    ("train.epochs", "passes over the training images; the schedules end with them"),
    (
        "train.stop_after",
        "stop after so many epochs of the schedule, fractions allowed; unset: never",
    ),
    ("train.batch_size", "images in an optimiser step"),
    ("train.accumulation", "parts that a step is computed in; divides batch_size"),
    ("train.warmup_epochs", "epochs of linear warm-up of the learning rate, fractions allowed"),
    ("train.checkpoint_every", "epochs between checkpoints"),
    ("train.checkpoint_minutes", "of training, after which there is one within an epoch too"),
    ("train.keep_checkpoints", "so many of the newest; the best is kept besides"),
    (
        "train.sync_batch_norm",
        "with several processes: batch norm over all their images, as in one; false: each over its own",
    ),
    (
        "train.nccl",
        "with several GPUs in one process: they sum over NCCL where it is installed; false: through the host's memory",
    ),
    (
        "train.read_every",
        "steps whose losses are read together, since a GPU has to wait for it; unset: 1 on a CPU, 16 on a GPU",
    ),
    ("optimizer.name", "sgd, adamw or lars"),
    ("optimizer.learning_rate", "at the end of the warm-up"),
    (
        "optimizer.scaling",
        "none; or linear256 or sqrt256: learning_rate is for 256 images and scales with batch_size or its root",
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

/// What a crash costs at most.
pub fn checkpoint_minutes() -> f64 {
    10.0
}

/// The newest, and the one before for when the newest is damaged.
pub fn keep_checkpoints() -> usize {
    2
}

/// Data sets are often folders of links to images that lie elsewhere.
pub fn follow_links() -> bool {
    true
}

/// Whoever has it installed wants it.
pub fn nccl() -> bool {
    true
}

/// Several processes are to train what one would.
pub fn sync_batch_norm() -> bool {
    true
}
