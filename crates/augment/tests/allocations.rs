//! After a thread's first views, rendering allocates nothing.
//!
//! A thread's buffers grow to the needs of its largest view: the longest row and column of a crop,
//! the largest view, the widest blur. So each test warms up with a crop of its whole largest image
//! and the largest σ before it counts. A larger image later would make the buffers grow once more.
//!
//! The counting allocator counts allocations (a growing `Vec` makes one) on the thread that starts
//! the count.

use std::sync::atomic::{AtomicU64, Ordering};

use allocation_counter::{AllocationInfo, measure};
use selfsame_augment::{
    AugmentError, CropWindow, GaussianBlur, Image, JitterParams, MultiCrop, PlainView, RgbSource,
    ViewBuffer, ViewConfig, ViewGenerator, ViewKey, ViewPair, ViewParams, ViewRng, render_batch,
};

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The largest image first.
const SIZES: [(u32, u32); 6] = [(500, 375), (375, 500), (96, 96), (32, 32), (500, 3), (1, 1)];

fn noise(width: u32, height: u32) -> Vec<u8> {
    (0..3 * width * height).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn source(pixels: &[u8], (width, height): (u32, u32)) -> RgbSource<'_> {
    RgbSource::new(pixels, width, height).unwrap()
}

/// Memory for one view in each of the three forms, allocated before the count.
struct Buffers {
    floats: Vec<f32>,
    bytes: Vec<u8>,
}

impl Buffers {
    fn new(largest: usize) -> Self {
        Self { floats: vec![0.0; 3 * largest * largest], bytes: vec![0; 3 * largest * largest] }
    }

    fn form(&mut self, form: usize, size: usize) -> ViewBuffer<'_> {
        let length = 3 * size * size;
        match form {
            0 => ViewBuffer::Planar(&mut self.floats[..length]),
            1 => ViewBuffer::Interleaved(&mut self.floats[..length]),
            _ => ViewBuffer::Rgb8(&mut self.bytes[..length]),
        }
    }
}

/// Everything that a view can have, from all of the image.
fn everything(config: &ViewConfig, width: u32, height: u32) -> ViewParams {
    ViewParams {
        crop: CropWindow { x: 0, y: 0, width, height },
        flip: true,
        jitter: Some(JitterParams::in_fixed_order(1.2, 0.8, 1.1, 0.05)),
        grayscale: true,
        blur: Some(config.blur_sigma[1]),
        solarize: true,
    }
}

/// How often each random branch was taken, and how often not.
#[derive(Default)]
struct Seen([[u32; 2]; 5]);

impl Seen {
    fn count(&mut self, params: &ViewParams) {
        let ViewParams { crop: _, flip, jitter, grayscale, blur, solarize } = *params;
        let taken = [flip, jitter.is_some(), grayscale, blur.is_some(), solarize];
        for (counts, taken) in self.0.iter_mut().zip(taken) {
            counts[usize::from(taken)] += 1;
        }
    }
}

/// The largest crops of the two largest images, with the largest σ, on this thread. The wide image
/// needs the longest row, the tall one the most weights of a column.
fn warm_up<'c>(configs: impl Iterator<Item = &'c ViewConfig>) {
    for config in configs {
        let mut out = vec![0.0; 3 * (config.size as usize).pow(2)];
        for size in &SIZES[..2] {
            let pixels = noise(size.0, size.1);
            let params = everything(config, size.0, size.1);
            let out = ViewBuffer::Planar(&mut out);
            config.render(source(&pixels, *size), &params, out).unwrap();
        }
    }
}

/// Draws and renders `images` images of all sizes after a warm-up, in all forms, without an
/// allocation. Returns which branches were taken.
fn nothing_is_allocated(configs: &[ViewConfig], images: u64) -> Seen {
    let pixels: Vec<_> = SIZES.iter().map(|(width, height)| noise(*width, *height)).collect();
    let largest = configs.iter().map(|config| config.size as usize).max().unwrap();
    let mut buffers = Buffers::new(largest);
    warm_up(configs.iter());
    let mut seen = Seen::default();
    let counted = measure(|| {
        for image in 0..images {
            let size = image as usize % SIZES.len();
            let source = source(&pixels[size], SIZES[size]);
            for (view, config) in configs.iter().enumerate() {
                let rng = &mut ViewKey { seed: 3, epoch: 0, image, view: view as u64 }.rng();
                let params = config.draw(source.width(), source.height(), rng);
                seen.count(&params);
                // Each size in each form: the form changes after all sizes.
                let form = (image as usize / SIZES.len() + view) % 3;
                config.render(source, &params, buffers.form(form, config.size as usize)).unwrap();
            }
        }
    });
    assert_eq!(counted.count_total, 0, "{} bytes", counted.bytes_total);
    seen
}

/// The allocator of this binary is the counting one. Otherwise every test here would pass.
#[test]
fn the_counter_counts() {
    let counted = measure(|| drop(std::hint::black_box(vec![0u8; 100])));
    assert_eq!((counted.count_total, counted.bytes_total), (1, 100));
    let mut grown = Vec::with_capacity(10);
    grown.extend([0u8; 10]);
    assert!(measure(|| grown.push(1)).count_total > 0, "growth is not seen");
}

/// A thread's first view does allocate. So the other tests see that buffers are reused.
#[test]
fn the_first_view_of_a_thread_allocates() {
    let pair = ViewPair::byol(224, MEAN, STD).unwrap();
    let pixels = noise(500, 375);
    let mut out = vec![0.0; 3 * 224 * 224];
    let mut render = |image| {
        let rng = &mut ViewKey { seed: 3, epoch: 0, image, view: 0 }.rng();
        let source = source(&pixels, (500, 375));
        let counted = measure(|| {
            pair.render(source, 0, rng, ViewBuffer::Planar(&mut out)).unwrap();
        });
        counted.count_total
    };
    assert!(render(0) > 0);
    assert_eq!(render(0), 0);
}

#[test]
fn byol_views_allocate_nothing() {
    let pair = ViewPair::byol(224, MEAN, STD).unwrap();
    let Seen([flip, jitter, gray, blur, solarize]) = nothing_is_allocated(pair.configs(), 300);
    for counts in [flip, jitter, gray, blur, solarize] {
        assert!(counts.iter().all(|n| *n > 20), "{counts:?}");
    }
}

#[test]
fn cifar_views_allocate_nothing() {
    let pair = ViewPair::cifar(32, MEAN, STD).unwrap();
    let Seen([flip, jitter, gray, blur, solarize]) = nothing_is_allocated(pair.configs(), 600);
    for counts in [flip, jitter, gray, solarize] {
        assert!(counts.iter().all(|n| *n > 20), "{counts:?}");
    }
    assert_eq!(blur, [1200, 0]);
}

/// Views of 224 and of 96 pixels follow each other in the same buffers.
#[test]
fn dino_views_allocate_nothing() {
    let crops = MultiCrop::dino(8, MEAN, STD).unwrap();
    let Seen([flip, jitter, gray, blur, solarize]) = nothing_is_allocated(crops.configs(), 120);
    for counts in [flip, jitter, gray, blur, solarize] {
        assert!(counts.iter().all(|n| *n > 10), "{counts:?}");
    }
}

/// Through the trait, where a generator finds the settings of a view itself.
#[test]
fn generators_allocate_nothing() {
    let byol = ViewPair::byol(224, MEAN, STD).unwrap();
    let dino = MultiCrop::dino(8, MEAN, STD).unwrap();
    let plain = PlainView::new(224, MEAN, STD).unwrap();
    let generators: [&dyn ViewGenerator; 3] = [&byol, &dino, &plain];
    let pixels: Vec<_> = SIZES.iter().map(|(width, height)| noise(*width, *height)).collect();
    let mut buffers = Buffers::new(224);
    let mut render = |images: u64| {
        for image in 0..images {
            let size = image as usize % SIZES.len();
            let source = source(&pixels[size], SIZES[size]);
            for generator in generators {
                for view in 0..generator.view_count() {
                    let rng = &mut ViewKey { seed: 3, epoch: 0, image, view: view as u64 }.rng();
                    let out =
                        buffers.form(image as usize / SIZES.len() % 3, generator.view_size(view));
                    generator.render(source, view, rng, out).unwrap();
                }
            }
        }
    };
    warm_up(byol.configs().iter().chain(dino.configs()));
    // PlainView has an image of its own.
    render(1);
    let counted = measure(|| render(60));
    assert_eq!(counted.count_total, 0, "{} bytes", counted.bytes_total);
}

/// Counts the allocations of each view on whichever thread renders it.
struct Counting<G> {
    generator: G,
    views: AtomicU64,
    allocations: AtomicU64,
}

impl<G: ViewGenerator> ViewGenerator for Counting<G> {
    fn view_count(&self) -> usize {
        self.generator.view_count()
    }

    fn view_size(&self, view: usize) -> usize {
        self.generator.view_size(view)
    }

    fn draw(
        &self,
        width: u32,
        height: u32,
        view: usize,
        rng: &mut ViewRng,
    ) -> Result<ViewParams, AugmentError> {
        self.generator.draw(width, height, view, rng)
    }

    fn render(
        &self,
        source: RgbSource<'_>,
        view: usize,
        rng: &mut ViewRng,
        out: ViewBuffer<'_>,
    ) -> Result<(), AugmentError> {
        let mut result = Ok(());
        let counted = measure(|| result = self.generator.render(source, view, rng, out));
        self.views.fetch_add(1, Ordering::Relaxed);
        self.allocations.fetch_add(counted.count_total, Ordering::Relaxed);
        result
    }
}

/// A batch on a warm pool, into the buffers of the batch before.
///
/// No view allocates, on any thread. On the calling thread `render_batch` itself allocates only a
/// few small pieces that do not grow with the batch. That is enough for rayon's jobs, but not for a
/// buffer of views.
#[test]
fn a_batch_on_a_warm_pool_allocates_nothing_per_image() {
    const THREADS: usize = 3;
    const SIZE: u32 = 64;
    const PER_BATCH: u64 = 4;
    const BYTES_OF_A_VIEW: u64 = 4 * 3 * (SIZE * SIZE) as u64;
    let pair = ViewPair::byol(SIZE, MEAN, STD).unwrap();
    let counting =
        Counting { generator: pair, views: AtomicU64::new(0), allocations: AtomicU64::new(0) };
    let pixels: Vec<_> = SIZES.iter().map(|(width, height)| noise(*width, *height)).collect();
    let sources: Vec<_> = (0..240)
        .map(|i| (i, source(&pixels[i as usize % SIZES.len()], SIZES[i as usize % SIZES.len()])))
        .collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().unwrap();
    // Every thread by itself, since any of them may get any image.
    pool.broadcast(|_| warm_up(counting.generator.configs().iter()));
    let mut out = Vec::new();
    let mut batch = |images: usize, epoch| {
        let mut counted = AllocationInfo::default();
        pool.install(|| {
            let mut render = || render_batch(&counting, &sources[..images], 5, epoch, &mut out);
            let mut result = Ok(());
            counted = measure(|| result = render());
            result.unwrap();
        });
        counted
    };
    // The largest batch first, whose buffers the others reuse.
    batch(240, 0);
    counting.views.store(0, Ordering::Relaxed);
    counting.allocations.store(0, Ordering::Relaxed);
    let per_batch: Vec<_> =
        (1..=20).map(|epoch| batch(if epoch % 2 == 0 { 240 } else { 24 }, epoch)).collect();
    assert_eq!(counting.views.load(Ordering::Relaxed), 2 * 10 * (240 + 24));
    assert_eq!(counting.allocations.load(Ordering::Relaxed), 0);
    for counted in &per_batch {
        assert!(counted.count_total <= PER_BATCH, "{per_batch:?}");
        assert!(counted.bytes_total < BYTES_OF_A_VIEW, "{per_batch:?}");
    }
}

/// The blur's scratch grows with σ. A wider σ than any before is the one case left out above.
#[test]
fn a_wider_blur_grows_the_buffers_once() {
    let mut image = Image::filled(64, 64, [0.5; 3]);
    let mut blur = |sigma| {
        measure(|| GaussianBlur::blur(&mut image, sigma, GaussianBlur::radius(sigma))).count_total
    };
    assert!(blur(2.0) > 0);
    assert_eq!(blur(2.0), 0);
    assert!(blur(20.0) > 0);
    assert_eq!(blur(20.0) + blur(2.0) + blur(20.0), 0);
}
