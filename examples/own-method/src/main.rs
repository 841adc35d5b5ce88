//! A method of one's own: alignment and uniformity (Wang & Isola, 2020, figure 5). One process
//! trains it, then two ranks that share every batch. Both end with the same loss.

use std::error::Error;
use std::sync::Arc;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame::LoaderSource;
use selfsame::augment::ViewPair;
use selfsame::data::{LoaderConfig, ShapesDataset, Shard, ViewLoader};
use selfsame::kernels::{Together, thread_ranks, together};
use selfsame::losses::l2_normalize;
use selfsame::models::init::WeightInit;
use selfsame::models::{Architecture, Encoder, Mlp, MlpConfig, ResNetConfig, Stem};
use selfsame::trainers::{
    Batch, Flow, Hooks, Method, MethodLoss, Projections, Step, StepReport, Trainer, TrainerConfig,
};

type AnyError = Box<dyn Error + Send + Sync>;

const BATCH: usize = 64;
const STEPS: u64 = 5;

#[derive(Module, Debug)]
struct AlignUniform<E: Module> {
    encoder: E,
    projector: Mlp,
}

impl<E: Encoder + Module + ModuleDisplay> AlignUniform<E> {
    fn project(&self, view: Tensor<4>) -> Tensor<2> {
        l2_normalize(self.projector.forward(self.encoder.forward(view)))
    }
}

impl<E: Encoder + Module + ModuleDisplay> Method for AlignUniform<E> {
    type Encoder = E;

    fn loss(&self, batch: &Batch, step: &Step) -> MethodLoss {
        let [z1, z2] = batch.pair().map(|view| self.project(view));
        let embedding = z1.clone().detach();
        // Uniformity compares images with each other: it needs those of all ranks.
        let (z1, z2) = (step.all(z1), step.all(z2));
        let alignment = (z1.clone() - z2.clone()).square().sum_dim(1).mean();
        let loss = alignment.clone() + (uniformity(z1) + uniformity(z2)).div_scalar(2.0);
        let terms = vec![("alignment", alignment.detach())];
        MethodLoss { loss: step.whole(loss), terms, embedding }
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn projections(&self, views: [Tensor<4>; 2]) -> Projections {
        let views = views.map(|view| self.project(view));
        Projections { views, prediction: None, target: None }
    }
}

/// log mean exp(−2 ‖z_i − z_j‖²) over all pairs of rows of unit length, `[batch, dim]` → `[1]`.
fn uniformity(z: Tensor<2>) -> Tensor<1> {
    let cosines = z.clone().matmul(z.transpose());
    // ‖a − b‖² = 2 − 2 a·b
    cosines.mul_scalar(4.0).sub_scalar(4.0).exp().mean().log()
}

/// The loss of the last step.
struct Last(f32);

impl<M: Method> Hooks<M> for Last {
    fn after_step(&mut self, _: &Trainer<M>, report: &StepReport) -> Result<Flow, AnyError> {
        self.0 = report.loss;
        Ok(Flow::Continue)
    }
}

/// Trains on the part of every batch that belongs to one of `count` ranks.
fn train(index: usize, count: usize) -> Result<f32, AnyError> {
    let device = Device::flex().autodiff();
    let (architecture, stem) = (Architecture::ResNet18, Stem::Cifar);
    let encoder = ResNetConfig { architecture, stem, base_width: 4, zero_init_residual: false };
    let projector = MlpConfig::without_bias(encoder.feature_dim(), &[64, 16]);
    let method = AlignUniform {
        encoder: encoder.build(0, &device)?,
        projector: projector.init(&mut WeightInit::new(0, 1, &device))?,
    };
    let shard = Shard { index, count };
    let settings = LoaderConfig { batch_size: BATCH / count, shard, ..Default::default() };
    let images = Arc::new(ShapesDataset::new(0, 0, 640));
    let views = Arc::new(ViewPair::byol(32, [0.5; 3], [0.25; 3])?);
    let loader = ViewLoader::new(images, views, &settings)?;

    // A small rate: sums are rounded differently on two ranks, and training amplifies that.
    let mut trainer = Trainer::new(method, TrainerConfig::sgd(0.001, STEPS), &device)?;
    let mut last = Last(f32::NAN);
    trainer.fit(&mut LoaderSource(loader.stream(0, STEPS)), &mut last)?;
    Ok(last.0)
}

fn main() -> Result<(), AnyError> {
    let alone = train(0, 1)?;
    let ranks = thread_ranks(2).into_iter().map(|ranks| {
        std::thread::spawn(move || -> Result<f32, AnyError> {
            // Ranks wait for each other, so each computes on threads of its own.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
            let index = ranks.rank();
            let two = Together { ranks, batch_norm: true };
            pool.install(|| together(Some(two), || train(index, 2)))
        })
    });
    for rank in ranks.collect::<Vec<_>>() {
        let loss = rank.join().map_err(|_| "a rank panicked")??;
        println!("loss of one process {alone:.5}, of a rank {loss:.5}");
        assert!((loss - alone).abs() < 1e-3, "the ranks trained something else");
    }
    Ok(())
}
