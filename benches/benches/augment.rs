//! Two BYOL views of an image on one thread: the work of one image in a training batch. And whole
//! batches by the loader.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::RgbImage;
use selfsame_augment::{
    CropWindow, GaussianBlur, Grayscale, Image, Interpolation, JitterParams, RgbSource, Solarize,
    ViewBuffer, ViewGenerator, ViewKey, ViewPair, resize,
};
use selfsame_data::{DataError, ImageDataset, LoaderConfig, Shard, ViewLoader};

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn noise(width: u32, height: u32) -> Vec<u8> {
    (0..3 * width * height).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn views(c: &mut Criterion) {
    let mut group = c.benchmark_group("augment");
    group.throughput(Throughput::Elements(1));
    for (name, size, pair) in [
        ("two CIFAR views, 32 px", (32, 32), ViewPair::cifar(32, MEAN, STD)),
        ("two BYOL views, 224 px of 500×375", (500, 375), ViewPair::byol(224, MEAN, STD)),
    ] {
        let pair = pair.expect("the presets are valid");
        let pixels = noise(size.0, size.1);
        let source = RgbSource::new(&pixels, size.0, size.1).expect("the size is right");
        let mut out = vec![0.0; 3 * pair.view_size(0).pow(2)];
        let mut image = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                image += 1;
                for view in 0..2 {
                    let key = ViewKey { seed: 0, epoch: 0, image, view };
                    let buffer = ViewBuffer::Planar(&mut out);
                    pair.render(source, view as usize, &mut key.rng(), buffer)
                        .expect("the buffer fits");
                    black_box(&out);
                }
            });
        });
    }
    group.finish();
}

/// What a view of 224 pixels is made of, each by itself, on an image that is in the caches.
fn stages(c: &mut Criterion) {
    let pixels = noise(500, 375);
    let source = RgbSource::new(&pixels, 500, 375).expect("the size is right");
    // Of the mean area of a crop, 54 %.
    let window = CropWindow { x: 50, y: 40, width: 367, height: 276 };
    let mut image = Image::default();
    resize(source, window, 224, 224, Interpolation::Bilinear, &mut image);
    let mut group = c.benchmark_group("a view of 224 px");
    for kernel in [Interpolation::Bilinear, Interpolation::Bicubic] {
        group.bench_function(format!("crop and resize, {kernel:?}"), |b| {
            b.iter(|| resize(source, window, 224, 224, kernel, &mut image));
        });
    }
    let jitter = JitterParams::in_fixed_order(1.1, 0.9, 1.1, 0.05);
    group.bench_function("colour jitter", |b| b.iter(|| jitter.apply(black_box(&mut image))));
    group.bench_function("grayscale", |b| b.iter(|| Grayscale::convert(black_box(&mut image))));
    for sigma in [0.5, 1.0, 2.0] {
        group.bench_function(format!("blur, σ {sigma}"), |b| {
            let radius = GaussianBlur::radius(sigma);
            b.iter(|| GaussianBlur::blur(black_box(&mut image), sigma, radius));
        });
    }
    let solarize = Solarize { threshold: 0.5 };
    group.bench_function("solarise", |b| b.iter(|| solarize.solarize(black_box(&mut image))));
    group.finish();
}

/// Decoded images in memory.
struct Decoded(Vec<Arc<RgbImage>>);

impl ImageDataset for Decoded {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        Ok(self.0[index].clone())
    }
    fn label(&self, _: usize) -> Option<u32> {
        None
    }
    fn class_names(&self) -> &[String] {
        &[]
    }
}

/// What the CPU does for a batch where it makes the views, and where it only draws them for a
/// device to make (`views.on_device`), on all threads.
fn loader(c: &mut Criterion) {
    const BATCH: usize = 128;
    let mut group = c.benchmark_group("a batch of the loader");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, size, pair) in [
        ("32 px", (32, 32), ViewPair::cifar(32, MEAN, STD)),
        ("224 px of 500×375", (500, 375), ViewPair::byol(224, MEAN, STD)),
    ] {
        let image = || RgbImage::from_raw(size.0, size.1, noise(size.0, size.1));
        let images = (0..2 * BATCH).map(|_| Arc::new(image().expect("the size is right")));
        let config = LoaderConfig {
            batch_size: BATCH,
            seed: 0,
            prefetch: 2,
            threads: None,
            shard: Shard::default(),
        };
        let pair = Arc::new(pair.expect("the presets are valid"));
        let loader = ViewLoader::new(Arc::new(Decoded(images.collect())), pair, &config);
        let loader = loader.expect("the batch can be filled");
        let mut made = loader.stream(0, u64::MAX);
        group.bench_function(format!("views of {name}, made"), |b| b.iter(|| made.next()));
        drop(made);
        let mut drawn = loader.stream_drawn(0, u64::MAX);
        group.bench_function(format!("views of {name}, drawn"), |b| b.iter(|| drawn.next()));
    }
    group.finish();
}

criterion_group!(benches, views, stages, loader);
criterion_main!(benches);
