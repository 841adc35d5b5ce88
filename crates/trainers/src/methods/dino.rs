//! DINO (Caron et al., 2021).

use burn::module::{Module, ModuleDisplay, RunningState};
use burn::tensor::{Device, Tensor};
use selfsame_kernels::moving_average;
use selfsame_losses::{DinoLoss, l2_normalize, sums};
use selfsame_models::init::WeightInit;
use selfsame_models::layers::Linear;
use selfsame_models::{Encoder, Mlp, MlpConfig};

use crate::check;
use crate::methods::branch::momentum_copy;
use crate::methods::settings::{
    Ablation, AblationGroup, Expected, MethodSettings, SmallRun, settings,
};
use crate::{
    Batch, Method, MethodLoss, MomentumTau, Position, Projections, Step, TauSchedule, TrainError,
    update_target,
};

/// The network of student and teacher: encoder and head (Caron et al., 2021, appendix C).
#[derive(Module, Debug)]
pub struct Network<E: Module> {
    /// f
    pub encoder: E,
    /// h up to its bottleneck.
    pub projector: Mlp,
    /// The last layer of h. Only the direction of its rows counts.
    pub prototypes: Linear,
}

impl<E: Encoder + Module + ModuleDisplay> Network<E> {
    /// `[batch, 3, height, width]` → `[batch, bottleneck]`.
    fn project(&self, view: Tensor<4>) -> Tensor<2> {
        self.projector.forward(self.encoder.forward(view))
    }

    /// Cosines with the prototypes: `[batch, bottleneck]` → `[batch, prototypes]`.
    fn logits(&self, z: Tensor<2>) -> Tensor<2> {
        l2_normalize(z).matmul(l2_normalize(self.prototypes.weight.val()).transpose())
    }
}

/// DINO (Caron et al., 2021, algorithm 1), with two global views and no local crops. Built by
/// [`DinoConfig`].
#[derive(Module, Debug)]
pub struct Dino<E: Module> {
    /// g_s, trained by gradient.
    pub student: Network<E>,
    /// g_t, follows the student as an exponential moving average.
    pub teacher: Network<E>,
    /// C, the moving mean of the teacher's outputs, `[prototypes]`.
    pub center: RunningState<Tensor<1>>,
    #[module(skip)]
    tau: MomentumTau,
    #[module(skip)]
    settings: DinoConfig,
}

impl<E: Encoder + Module + ModuleDisplay> Dino<E> {
    fn teacher_temperature(&self, at: Position) -> f64 {
        let DinoConfig { teacher_temperature_start: start, teacher_temperature: end, .. } =
            self.settings;
        let share = at.progress() / self.settings.teacher_warmup.max(f64::MIN_POSITIVE);
        start + (end - start) * share.min(1.0)
    }

    /// C ← m C + (1 − m) · mean of the teacher's outputs.
    fn update_center(&self, outputs: Tensor<2>, step: &Step) {
        let [_, prototypes] = outputs.dims();
        let mean = step.all(sums::mean_dim(outputs, 0)).mean_dim(0).reshape([prototypes]);
        let moved = moving_average(self.center.value(), mean, self.settings.center_momentum);
        self.center.update(moved);
        // `update` only queues the value. Without this, a checkpoint taken now would miss this
        // step.
        self.center.value_sync();
    }
}

impl<E: Encoder + Module + ModuleDisplay> Method for Dino<E> {
    type Encoder = E;

    fn loss(&self, batch: &Batch, step: &Step) -> MethodLoss {
        let [v1, v2] = batch.pair();
        let z1 = self.student.project(v1.clone());
        let z2 = self.student.project(v2.clone());
        let embedding = z1.clone().detach();
        let students = (self.student.logits(z1), self.student.logits(z2));
        let teach = |view| self.teacher.logits(self.teacher.project(view)).detach();
        let (t1, t2) = (teach(v1), teach(v2));
        let loss = DinoLoss { student_temperature: self.settings.student_temperature as f32 }
            .symmetric(
                students,
                (t1.clone(), t2.clone()),
                self.center.value(),
                self.teacher_temperature(step.position()) as f32,
            );
        self.update_center(Tensor::cat(vec![t1, t2], 0), step);
        let terms = vec![self.tau.term(step.position(), &embedding.device())];
        MethodLoss { loss: step.mean(loss), terms, embedding }
    }

    fn after_step(mut self, at: Position) -> Self {
        let tau = self.tau.at(at.step, at.steps);
        self.teacher = update_target(self.teacher, &self.student, tau);
        self
    }

    fn encoder(&self) -> &E {
        &self.student.encoder
    }

    fn projections(&self, [v1, v2]: [Tensor<4>; 2]) -> Projections {
        let target = Some(self.teacher.project(v1.clone()));
        let views = [self.student.project(v1), self.student.project(v2)];
        Projections { views, prediction: None, target }
    }
}

settings! {
    /// The head, the temperatures and the momenta of DINO.
    pub struct DinoConfig {
        /// Width of the head's two hidden layers: 2048 in the paper.
        pub projector_hidden: usize,
        /// Dimension of the normalised vectors before the prototypes: 256 in the paper.
        pub bottleneck: usize,
        /// K, the number of outputs of the softmax: 65536 in the paper, 4096 in CIFAR recipes.
        pub prototypes: usize,
        /// τ_s: 0.1 in the paper.
        pub student_temperature: f64,
        /// τ_t after its warm-up: 0.04 to 0.07 in the paper. This is the sharpening: the smaller
        /// τ_t, the farther the output is from uniform.
        pub teacher_temperature: f64,
        /// τ_t at the first step: 0.04 in the paper.
        pub teacher_temperature_start: f64,
        /// The share of the run in which τ_t rises linearly: 0.3 in the paper (30 of 100 epochs).
        pub teacher_warmup: f64,
        /// m, the momentum of the centre: 0.9 in the paper. With centring, no output can win for
        /// all images.
        pub center_momentum: f64,
        /// The teacher's momentum at the first step: 0.996 in the paper.
        pub tau_base: f64,
        /// `cosine`: the momentum rises to 1 along a cosine. `constant`: it stays.
        #[serde(default)]
        pub tau_schedule: TauSchedule,
    }
}

impl MethodSettings for DinoConfig {
    type Method<E: Encoder + Module + ModuleDisplay> = Dino<E>;

    const TITLE: &'static str = "DINO";
    const ENCODER: &'static str = "student.encoder.";

    fn meanings() -> &'static [(&'static str, &'static str)] {
        Self::MEANINGS
    }

    fn validate(&self) -> Result<(), TrainError> {
        check::widths(&[
            ("dino.projector_hidden", self.projector_hidden),
            ("dino.bottleneck", self.bottleneck),
            ("dino.prototypes", self.prototypes),
        ])?;
        check::positive(&[
            ("dino.student_temperature", self.student_temperature),
            ("dino.teacher_temperature", self.teacher_temperature),
            ("dino.teacher_temperature_start", self.teacher_temperature_start),
        ])?;
        check::shares(&[
            ("dino.teacher_warmup", self.teacher_warmup),
            ("dino.center_momentum", self.center_momentum),
        ])?;
        MomentumTau::new(self.tau_base, self.tau_schedule).map(|_| ())
    }

    fn build<E: Encoder + Module + ModuleDisplay>(
        &self,
        encoder: E,
        seed: u64,
        device: &Device,
    ) -> Result<Dino<E>, TrainError> {
        self.validate()?;
        let widths = [self.projector_hidden, self.projector_hidden, self.bottleneck];
        let mut init = WeightInit::new(seed, 2, device);
        let student = Network {
            projector: MlpConfig {
                output_bias: true,
                ..MlpConfig::without_bias(encoder.feature_dim(), &widths)
            }
            .init(&mut WeightInit::new(seed, 1, device))?,
            encoder,
            prototypes: Linear::new([self.bottleneck, self.prototypes], false, &mut init),
        };
        Ok(Dino {
            teacher: momentum_copy(&student),
            student,
            center: RunningState::new(Tensor::zeros([self.prototypes], device)),
            tau: MomentumTau::new(self.tau_base, self.tau_schedule)?,
            settings: self.clone(),
        })
    }

    fn small_run() -> SmallRun<Self> {
        SmallRun {
            settings: Self {
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
            },
            epochs: 16,
            batch_size: 32,
            learning_rate: 0.1,
            weight_decay: 1e-4,
        }
    }

    fn ablations(&self) -> Vec<Ablation> {
        use AblationGroup::{Mechanism, Momentum};
        let source = "Caron et al., 2021, section 5.3 and appendix D";
        let not_sharper = [
            ("dino.teacher_temperature", self.student_temperature),
            ("dino.teacher_temperature_start", self.student_temperature),
        ];
        let no_momentum = [("dino.tau_base", "0.0"), ("dino.tau_schedule", "constant")];
        vec![
            Ablation::new(Mechanism, "no centring", [("dino.center_momentum", "1.0")])
                .expect(Expected::Collapse, source),
            Ablation::new(Mechanism, "no sharpening", not_sharper)
                .expect(Expected::Collapse, source),
            Ablation::new(Momentum, "τ = 0", no_momentum)
                .expect(Expected::Collapse, "Caron et al., 2021, table 7"),
        ]
    }

    fn tau(&self) -> Option<f64> {
        Some(self.tau_base)
    }
}
