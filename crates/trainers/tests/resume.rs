//! A run stopped and resumed from its checkpoint ends in the same bits as one never stopped.

use burn::tensor::Device;
use selfsame_models::weights::{StateDict, state_dict, to_safetensors};
use selfsame_models::{Architecture, ResNetConfig, Stem};
use selfsame_trainers::{
    AdamW, BarlowTwinsConfig, ByolConfig, Checkpoint, Checkpoints, DinoConfig, Lars, LeJepaConfig,
    LearningRate, Method, MethodSettings, OptimizerConfig, Rule, RunRecord, Sgd, TauSchedule,
    TrainError, Trainer, TrainerConfig, UNFINISHED, Views,
};

const STEPS: u64 = 6;

fn encoder(base_width: usize) -> ResNetConfig {
    ResNetConfig {
        architecture: Architecture::ResNet18,
        stem: Stem::Cifar,
        base_width,
        zero_init_residual: false,
    }
}

fn config(rule: Rule, accumulation: usize) -> TrainerConfig {
    TrainerConfig {
        optimizer: OptimizerConfig { rule, weight_decay: 1e-4, exclude_bias_and_norm: true },
        learning_rate: LearningRate {
            peak: 0.05,
            warmup_steps: 2,
            steps: STEPS,
            final_fraction: 0.0,
        },
        accumulation,
    }
}

/// Any fixed pixels do; they only have to differ between steps and views.
fn views(step: u64) -> Vec<Views> {
    let shape = [4, 3, 8, 8];
    let pixels = |view: u64| {
        (0..shape.iter().product::<usize>() as u64)
            .map(|i| {
                let hash = (i + 1000 * step + 7_777_777 * view).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                (hash >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            })
            .collect()
    };
    vec![Views::on_host([pixels(0), pixels(1)], shape)]
}

fn byol(rule: Rule) -> Trainer<impl Method> {
    let device = Device::flex().autodiff();
    let byol = ByolConfig {
        projector_hidden: 16,
        projector_dim: 8,
        predictor_hidden: 16,
        tau_base: 0.9,
        ..ByolConfig::default()
    };
    let method = byol.build(encoder(2).build(3, &device).unwrap(), 3, &device).unwrap();
    Trainer::new(method, config(rule, 1), &device).unwrap()
}

fn barlow_twins(rule: Rule) -> Trainer<impl Method> {
    let device = Device::flex().autodiff();
    let barlow =
        BarlowTwinsConfig { projector: vec![16, 8], lambda: 0.005, ..BarlowTwinsConfig::default() };
    let method = barlow.build(encoder(2).build(3, &device).unwrap(), 3, &device).unwrap();
    Trainer::new(method, config(rule, 1), &device).unwrap()
}

fn rules() -> [Rule; 3] {
    [
        Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }),
        Rule::AdamW(AdamW::default()),
        Rule::Lars(Lars::default()),
    ]
}

fn continues_exactly<M: Method>(build: impl Fn() -> Trainer<M>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let mut whole = build();
    for step in 0..STEPS {
        whole.step(views(step)).unwrap();
        if step == 2 {
            let run = RunRecord {
                state: serde_json::json!({"seed": 3}),
                attachments: [("log".to_owned(), b"line".to_vec())].into(),
            };
            Checkpoint::save(&whole.snapshot(), &run, &path).unwrap();
        }
    }
    let checkpoint = Checkpoint::read(&path).unwrap();
    assert_eq!((checkpoint.header.step, &checkpoint.header.run["seed"]), (3, &3.into()));
    assert_eq!(checkpoint.attachments["log"], b"line");
    let mut resumed = build();
    checkpoint.restore(&mut resumed).unwrap();
    for step in resumed.steps_done()..STEPS {
        resumed.step(views(step)).unwrap();
    }
    assert_eq!(state_dict(whole.method()).unwrap(), state_dict(resumed.method()).unwrap());
    assert_eq!(whole.optimizer().state_dict().unwrap(), resumed.optimizer().state_dict().unwrap());
}

#[test]
fn byol_resumes_bit_for_bit_with_every_optimizer() {
    for rule in rules() {
        continues_exactly(|| byol(rule.clone()));
    }
}

#[test]
fn barlow_twins_resumes_bit_for_bit_with_every_optimizer() {
    for rule in rules() {
        continues_exactly(|| barlow_twins(rule.clone()));
    }
}

/// Its centre is a state that no optimiser knows.
#[test]
fn dino_resumes_bit_for_bit() {
    let config = DinoConfig {
        projector_hidden: 16,
        bottleneck: 8,
        prototypes: 12,
        student_temperature: 0.1,
        teacher_temperature: 0.07,
        teacher_temperature_start: 0.04,
        teacher_warmup: 0.9,
        center_momentum: 0.9,
        tau_base: 0.9,
        tau_schedule: TauSchedule::Cosine,
    };
    continues_exactly(|| {
        let device = Device::flex().autodiff();
        let method = config.build(encoder(2).build(3, &device).unwrap(), 3, &device).unwrap();
        Trainer::new(method, self::config(rules()[0].clone(), 1), &device).unwrap()
    });
}

/// Its random directions go by the step.
#[test]
fn lejepa_resumes_bit_for_bit() {
    let config = LeJepaConfig { projector: vec![16, 8], lambda: 0.05, slices: 16 };
    continues_exactly(|| {
        let device = Device::flex().autodiff();
        let method = config.build(encoder(2).build(3, &device).unwrap(), 3, &device).unwrap();
        Trainer::new(method, self::config(rules()[0].clone(), 1), &device).unwrap()
    });
}

#[test]
fn a_checkpoint_of_another_model_or_optimizer_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let [sgd, adamw, _] = rules();
    let mut saved = byol(sgd.clone());
    saved.step(views(0)).unwrap();
    Checkpoint::save(&saved.snapshot(), &RunRecord::default(), &path).unwrap();
    let checkpoint = Checkpoint::read(&path).unwrap();

    let mut other = barlow_twins(sgd);
    let before = state_dict(other.method()).unwrap();
    assert!(matches!(checkpoint.restore(&mut other), Err(TrainError::Model(_))));
    assert_eq!(state_dict(other.method()).unwrap(), before);

    let mut other = byol(adamw);
    let error = checkpoint.restore(&mut other).unwrap_err().to_string();
    assert!(error.contains("state"), "{error}");
    assert_eq!(other.steps_done(), 0);
}

#[test]
fn a_checkpoint_with_any_flipped_bit_or_missing_end_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    assert!(matches!(Checkpoint::read(&path), Err(TrainError::Checkpoint { .. })));
    Checkpoint::save(&byol(rules()[0].clone()).snapshot(), &RunRecord::default(), &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(Checkpoint::parse(bytes.clone(), &path).is_ok());
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize + 8;
    // All of what says what the file is, and a sample of the weights.
    let bits = (0..header).flat_map(|byte| (0..8).map(move |bit| 8 * byte + bit));
    for bit in bits.step_by(7).chain((8 * header..8 * bytes.len()).step_by(100_003)) {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = Checkpoint::parse(damaged, &path).unwrap_err();
        assert!(matches!(error, TrainError::Damaged { .. }), "bit {bit}: {error}");
    }
    for len in [0, 7, 8, 9, header, bytes.len() / 3, bytes.len() - 1] {
        let error = Checkpoint::parse(bytes[..len].to_vec(), &path).unwrap_err();
        assert!(matches!(error, TrainError::Damaged { .. }), "{len} bytes: {error}");
        assert!(error.to_string().contains("last.safetensors"), "{error}");
    }
}

#[test]
fn the_newest_checkpoints_are_kept_and_a_damaged_one_is_set_aside_for_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path().to_owned(), 2);
    assert!(checkpoints.newest_file().is_none());
    let mut trainer = byol(rules()[0].clone());
    for step in 0..4 {
        trainer.step(views(step)).unwrap();
        checkpoints.save(&trainer.snapshot(), &RunRecord::default()).unwrap();
    }
    checkpoints.save_best(&trainer.snapshot(), &RunRecord::default()).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let kept = ["best.safetensors", "step-0000000003.safetensors", "step-0000000004.safetensors"];
    assert_eq!(names, kept);

    // What a killed process leaves, a bit that a disk lost, and a file cut short.
    let unfinished = folder.path().join(format!("{UNFINISHED}abc"));
    std::fs::write(&unfinished, b"half").unwrap();
    let newest = checkpoints.newest_file().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    std::fs::write(checkpoints.best(), b"").unwrap();
    let (found, damaged) = checkpoints.recover().unwrap();
    assert_eq!(found.unwrap().header.step, 3);
    assert_eq!(damaged.len(), 2);
    assert!(damaged.iter().all(|d| d.path.is_file() && !d.path.ends_with(".safetensors")));
    assert!(!unfinished.exists() && !newest.exists());

    checkpoints.delete().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(checkpoints.recover().unwrap().0.is_none());
}

#[test]
fn a_checkpoint_of_before_is_refused_and_not_overlooked() {
    let folder = tempfile::tempdir().unwrap();
    let header = r#"{"format": 1, "step": 1, "steps": 2, "run": null}"#;
    let bytes = to_safetensors(&StateDict::new(), header).unwrap();
    std::fs::write(folder.path().join("last.safetensors"), bytes).unwrap();
    let error = Checkpoints::new(folder.path().to_owned(), 2).recover().unwrap_err();
    assert!(error.to_string().contains("format 1"), "{error}");
}

/// A folder in the place of a file, as a disk that cannot read it.
#[test]
fn what_cannot_be_read_is_set_aside_and_the_best_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path().to_owned(), 2);
    let trainer = byol(rules()[0].clone());
    checkpoints.save_best(&trainer.snapshot(), &RunRecord::default()).unwrap();
    std::fs::create_dir(folder.path().join("step-0000000007.safetensors")).unwrap();
    let (found, damaged) = checkpoints.recover().unwrap();
    assert_eq!(found.unwrap().header.step, 0);
    assert_eq!(damaged.len(), 1);
}
