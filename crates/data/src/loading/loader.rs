//! Batches of views, made in the background.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use image::RgbImage;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use selfsame_augment::{RgbSource, ViewGenerator, ViewKey, ViewParams, render_batch};

use crate::{DataError, ImageDataset};

/// How a [`ViewLoader`] makes its batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Images in a batch. With [`ViewLoader::every_image`], the most in one.
    pub batch_size: usize,
    /// The seed of shuffling and views.
    pub seed: u64,
    /// Batches kept ready ahead of the trainer.
    pub prefetch: usize,
    /// Threads that decode and augment; `None` for one per core.
    pub threads: Option<usize>,
    /// This process's part of every epoch.
    pub shard: Shard,
}

impl Default for LoaderConfig {
    /// Batches of 256, on all cores.
    fn default() -> Self {
        Self { batch_size: 256, seed: 0, prefetch: 2, threads: None, shard: Shard::default() }
    }
}

/// One of several processes that train together. Their parts of an epoch have the same number of
/// batches and no image in common. The parts change from epoch to epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which one, from 0.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

impl Default for Shard {
    /// The only one.
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

/// One batch.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewBatch {
    /// One buffer per view: row-major `[batch, 3, size, size]`, normalised.
    pub views: Vec<Vec<f32>>,
    /// Images in it.
    pub batch: usize,
    /// Height and width of each view.
    pub sizes: Vec<usize>,
    /// The images' indices in the data set.
    pub indices: Vec<usize>,
}

/// One batch with its views drawn but not made.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnBatch {
    /// `[batch, height, width, 3]`. A smaller image lies in the upper left corner, with zeros
    /// around it.
    pub pixels: Vec<u8>,
    /// `[batch, height, width]`
    pub shape: [usize; 3],
    /// For every view, what was drawn for each image.
    pub drawn: Vec<Vec<ViewParams>>,
    /// The images' indices in the data set.
    pub indices: Vec<usize>,
}

/// Shuffles a data set and makes batches of views of it.
///
/// The order of an epoch and every view depend on the seed, the epoch and the image alone. So a
/// stream that starts in the middle continues exactly like one that started at 0. An incomplete
/// batch at the end of an epoch is dropped, since batch norm and batch-wide losses need full ones.
/// [`every_image`](Self::every_image) drops none.
pub struct ViewLoader {
    work: Arc<Work>,
    prefetch: usize,
}

struct Work {
    dataset: Arc<dyn ImageDataset>,
    generator: Arc<dyn ViewGenerator>,
    /// Batches in an epoch of one shard.
    batches: usize,
    /// Images in an epoch of one shard, divided evenly among its batches.
    images: usize,
    seed: u64,
    shard: Shard,
    pool: ThreadPool,
    skipped: Mutex<BTreeMap<usize, String>>,
}

impl ViewLoader {
    /// # Errors
    /// A batch that the data set cannot fill, or threads that the system will not start.
    pub fn new(
        dataset: Arc<dyn ImageDataset>,
        generator: Arc<dyn ViewGenerator>,
        config: &LoaderConfig,
    ) -> Result<Self, DataError> {
        let batches = |images: usize| images.checked_div(config.batch_size).unwrap_or(0);
        let images = |images: usize| batches(images) * config.batch_size;
        Self::divided(dataset, generator, config, batches, images)
    }

    /// A loader for few images. An epoch leaves none out, and a batch may be larger than the data
    /// set.
    ///
    /// An epoch has the fewest batches of at most `batch_size` images, of sizes as equal as
    /// possible: 100 images in batches of 64 make two of 50. Batch norm cannot train on a single
    /// image, so no batch has one: three images in batches of 2 make one of 3. (A remainder that
    /// does not divide among several shards is still left out.)
    ///
    /// # Errors
    /// No image, a batch size of 0, or threads that the system will not start.
    pub fn every_image(
        dataset: Arc<dyn ImageDataset>,
        generator: Arc<dyn ViewGenerator>,
        config: &LoaderConfig,
    ) -> Result<Self, DataError> {
        let batches = |images: usize| match config.batch_size {
            0 => 0,
            size => images.div_ceil(size).min(images / 2).max(images.min(1)),
        };
        Self::divided(dataset, generator, config, batches, |images| images)
    }

    /// `batches` and `images` give their numbers in an epoch, from the number of images for a
    /// shard.
    fn divided(
        dataset: Arc<dyn ImageDataset>,
        generator: Arc<dyn ViewGenerator>,
        config: &LoaderConfig,
        batches: impl Fn(usize) -> usize,
        images: impl Fn(usize) -> usize,
    ) -> Result<Self, DataError> {
        let Shard { index, count } = config.shard;
        if index >= count {
            return Err(DataError::Request(format!("shard {index} of {count} does not exist")));
        }
        let (batch_size, len) = (config.batch_size, dataset.len());
        let (batches, images) = (batches(len / count), images(len / count));
        if batches == 0 {
            let of = if count > 1 { format!(" in {count} parts") } else { String::new() };
            return Err(DataError::Request(format!(
                "a batch of {batch_size} cannot be filled from {len} training images{of}"
            )));
        }
        if u32::try_from(len).is_err() {
            return Err(DataError::Request(format!("{len} images are more than 2³²")));
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(config.threads.unwrap_or(0))
            .thread_name(|i| format!("views-{i}"))
            .build()
            .map_err(|e| DataError::Request(format!("cannot start loader threads: {e}")))?;
        let work = Work {
            dataset,
            generator,
            batches,
            images,
            seed: config.seed,
            shard: config.shard,
            pool,
            skipped: Mutex::default(),
        };
        Ok(Self { work: Arc::new(work), prefetch: config.prefetch })
    }

    /// Batches in an epoch, for each shard.
    pub fn batches_per_epoch(&self) -> u64 {
        self.work.batches as u64
    }

    /// Batches `first .. last`, counted from the beginning of the run through all epochs.
    pub fn stream(&self, first: u64, last: u64) -> ViewStream {
        self.produce(first, last, Work::render)
    }

    /// The same batches with views that are only drawn, for a device to make: the same crops,
    /// colours and blurs.
    ///
    /// Images are padded to the largest one of the batch. A batch of more than a GiB is an error:
    /// make such images smaller first.
    pub fn stream_drawn(&self, first: u64, last: u64) -> ViewStream<DrawnBatch> {
        self.produce(first, last, Work::draw)
    }

    fn produce<T: Send + 'static>(&self, first: u64, last: u64, make: Make<T>) -> ViewStream<T> {
        let (sender, receiver) = sync_channel(self.prefetch);
        let work = self.work.clone();
        let per_epoch = self.batches_per_epoch();
        let worker =
            std::thread::spawn(move || work.produce(first..last, per_epoch, &sender, make));
        ViewStream { receiver: Some(receiver), worker: Some(worker), waited: Duration::ZERO }
    }

    /// Images that could not be read when they were needed, with the reason. Another image took
    /// the place of each.
    pub fn skipped(&self) -> BTreeMap<usize, String> {
        self.work.skipped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The most bytes of a [`DrawnBatch`].
const MOST_PIXELS: usize = 1 << 30;

/// Makes a batch of these readable images, in this epoch.
type Make<T> = fn(&Work, &[(usize, Arc<RgbImage>)], u64) -> Result<T, DataError>;

impl Work {
    fn produce<T: Send>(
        &self,
        batches: std::ops::Range<u64>,
        per_epoch: u64,
        sender: &SyncSender<Result<T, DataError>>,
        make: Make<T>,
    ) {
        let mut order = Vec::new();
        let mut ordered = None;
        for batch in batches {
            let (epoch, place) = (batch / per_epoch, (batch % per_epoch) as usize);
            if ordered != Some(epoch) {
                self.shuffle(epoch, &mut order);
                ordered = Some(epoch);
            }
            let Shard { index, count } = self.shard;
            let start = |place| place * self.images / self.batches;
            let places =
                (start(place)..start(place + 1)).map(|i| order[i * count + index] as usize);
            let indices: Vec<usize> = places.collect();
            let result = self
                .pool
                .install(|| self.readable_images(&indices).and_then(|i| make(self, &i, epoch)));
            let failed = result.is_err();
            // A closed channel means that nobody waits for the batch any more.
            if sender.send(result).is_err() || failed {
                return;
            }
        }
    }

    /// Fisher–Yates with the epoch's own generator: no image has the index `u64::MAX`. In place and
    /// 4 bytes an image, since the order is the largest thing that a loader of a huge set holds.
    fn shuffle(&self, epoch: u64, order: &mut Vec<u32>) {
        order.clear();
        order.extend(0..self.dataset.len() as u32);
        let key = ViewKey { seed: self.seed, epoch, image: u64::MAX, view: 0 };
        order.shuffle(&mut key.rng());
    }

    fn readable_images(&self, indices: &[usize]) -> Result<Vec<(usize, Arc<RgbImage>)>, DataError> {
        indices.par_iter().map(|index| self.readable(*index)).collect()
    }

    fn render(
        &self,
        images: &[(usize, Arc<RgbImage>)],
        epoch: u64,
    ) -> Result<ViewBatch, DataError> {
        let sources = images
            .iter()
            .map(|(index, image)| Ok((*index as u64, RgbSource::try_from(&**image)?)))
            .collect::<Result<Vec<_>, DataError>>()?;
        let mut views = Vec::new();
        render_batch(&*self.generator, &sources, self.seed, epoch, &mut views)?;
        let sizes = (0..views.len()).map(|view| self.generator.view_size(view)).collect();
        let indices = images.iter().map(|(index, _)| *index).collect();
        Ok(ViewBatch { views, batch: images.len(), sizes, indices })
    }

    fn draw(&self, images: &[(usize, Arc<RgbImage>)], epoch: u64) -> Result<DrawnBatch, DataError> {
        let most = |of: fn(&RgbImage) -> u32| {
            images.iter().map(|(_, image)| of(image) as usize).max().unwrap_or(0)
        };
        let (height, width) = (most(RgbImage::height), most(RgbImage::width));
        let image_bytes = 3 * height * width;
        if image_bytes.saturating_mul(images.len()) > MOST_PIXELS {
            return Err(DataError::Request(format!(
                "{} images of up to {width}×{height} are too large to make views of them on the device; make them smaller, or the \
                 views on the CPU",
                images.len()
            )));
        }
        let drawn = (0..self.generator.view_count()).map(|view| {
            images.iter().map(move |(index, image)| {
                // Images without pixels have no views.
                RgbSource::try_from(&**image)?;
                let key =
                    ViewKey { seed: self.seed, epoch, image: *index as u64, view: view as u64 };
                let (width, height) = image.dimensions();
                Ok(self.generator.draw(width, height, view, &mut key.rng())?)
            })
        });
        let drawn = drawn.map(Iterator::collect).collect::<Result<_, DataError>>()?;
        let mut pixels = vec![0; images.len() * image_bytes];
        pixels.par_chunks_exact_mut(image_bytes.max(1)).zip(images).for_each(|(to, (_, image))| {
            let rows = image.as_raw().chunks_exact(3 * image.width() as usize);
            for (to, row) in to.chunks_exact_mut(3 * width).zip(rows) {
                to[..row.len()].copy_from_slice(row);
            }
        });
        let indices = images.iter().map(|(index, _)| *index).collect();
        Ok(DrawnBatch { pixels, shape: [images.len(), height, width], drawn, indices })
    }

    /// The image, or the next one in the order of the data set that can be decoded. The choice does
    /// not depend on timing.
    ///
    /// A broken image stays broken. A vanished file or a failing disk may be back tomorrow.
    /// Training without it would be a different run, so that is an error.
    fn readable(&self, wanted: usize) -> Result<(usize, Arc<RgbImage>), DataError> {
        let len = self.dataset.len();
        let mut last = None;
        for index in (wanted..len).chain(0..wanted) {
            match self.dataset.image(index) {
                Ok(image) => return Ok((index, image)),
                Err(DataError::Io { action, path, source })
                    if source.kind() != ErrorKind::PermissionDenied =>
                {
                    return Err(DataError::Io { action, path, source });
                }
                Err(error) => {
                    let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
                    skipped.entry(index).or_insert_with(|| error.to_string());
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| DataError::Request("the data set is empty".into())))
    }
}

/// Batches in order. A background thread makes them ahead, and stops when this is dropped.
pub struct ViewStream<T = ViewBatch> {
    receiver: Option<Receiver<Result<T, DataError>>>,
    worker: Option<JoinHandle<()>>,
    waited: Duration,
}

impl<T> ViewStream<T> {
    /// How long [`next`](Iterator::next) has waited for batches so far. The trainer lost this time.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<T> Iterator for ViewStream<T> {
    type Item = Result<T, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = Instant::now();
        let batch = self.receiver.as_ref()?.recv().ok();
        self.waited += start.elapsed();
        batch
    }
}

impl<T> Drop for ViewStream<T> {
    fn drop(&mut self) {
        // Closing the channel first ends a worker that waits to send.
        self.receiver = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use selfsame_augment::ViewPair;

    use super::*;
    use crate::ShapesDataset;

    fn pair() -> Arc<dyn ViewGenerator> {
        Arc::new(ViewPair::cifar(8, [0.5; 3], [0.25; 3]).unwrap())
    }

    fn loader(dataset: Arc<dyn ImageDataset>, threads: usize, seed: u64) -> ViewLoader {
        let config = LoaderConfig {
            batch_size: 4,
            seed,
            prefetch: 2,
            threads: Some(threads),
            shard: Shard::default(),
        };
        ViewLoader::new(dataset, pair(), &config).unwrap()
    }

    fn batches(loader: &ViewLoader, first: u64, last: u64) -> Vec<ViewBatch> {
        loader.stream(first, last).map(Result::unwrap).collect()
    }

    #[test]
    fn threads_and_starting_point_do_not_change_a_batch() {
        let shapes = Arc::new(ShapesDataset::new(0, 0, 10));
        let whole = batches(&loader(shapes.clone(), 1, 7), 0, 5);
        assert_eq!(whole.len(), 5);
        assert_eq!(whole, batches(&loader(shapes.clone(), 2, 7), 0, 5));
        assert_eq!(whole[3..], batches(&loader(shapes.clone(), 2, 7), 3, 5));
        assert_ne!(whole, batches(&loader(shapes, 1, 8), 0, 5));
    }

    #[test]
    fn an_epoch_shows_every_image_once_in_an_order_of_its_own() {
        let loader = loader(Arc::new(ShapesDataset::new(0, 0, 8)), 1, 0);
        let epochs: Vec<Vec<usize>> = batches(&loader, 0, 4)
            .chunks(2)
            .map(|epoch| epoch.iter().flat_map(|b| b.indices.clone()).collect())
            .collect();
        for epoch in &epochs {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..8).collect::<Vec<_>>());
        }
        assert_ne!(epochs[0], epochs[1]);
    }

    /// Drawn views have the crops and colours of rendered ones, for images of different sizes.
    #[test]
    fn what_is_drawn_is_what_would_be_made() {
        let sizes = [(8, 6), (5, 9), (8, 6), (7, 3)];
        let images: Vec<RgbImage> = sizes
            .iter()
            .enumerate()
            .map(|(i, (w, h))| {
                RgbImage::from_fn(*w, *h, |x, y| image::Rgb([i as u8, x as u8, y as u8]))
            })
            .collect();
        let config = LoaderConfig {
            batch_size: 4,
            seed: 7,
            prefetch: 1,
            threads: Some(2),
            shard: Shard::default(),
        };
        let views = ViewPair::cifar(8, [0.5; 3], [0.25; 3]).unwrap();
        let dataset = Arc::new(Fixed(images.clone()));
        let loader = ViewLoader::new(dataset, Arc::new(views.clone()), &config).unwrap();
        let made = batches(&loader, 2, 4);
        let drawn: Vec<DrawnBatch> = loader.stream_drawn(2, 4).map(Result::unwrap).collect();
        for (made, drawn) in made.iter().zip(&drawn) {
            assert_eq!((drawn.shape, drawn.pixels.len()), ([4, 9, 8], 4 * 9 * 8 * 3));
            assert_eq!(made.indices, drawn.indices);
            for (place, index) in drawn.indices.iter().enumerate() {
                let image = &images[*index];
                let padded = &drawn.pixels[place * 9 * 8 * 3..][..9 * 8 * 3];
                for (x, y, pixel) in image.enumerate_pixels() {
                    let at = 3 * (8 * y + x) as usize;
                    assert_eq!(padded[at..at + 3], pixel.0);
                }
                for (view, config) in views.configs().iter().enumerate() {
                    let mut again = vec![0.0; 192];
                    let source = RgbSource::try_from(image).unwrap();
                    let out = selfsame_augment::ViewBuffer::Planar(&mut again);
                    config.render(source, &drawn.drawn[view][place], out).unwrap();
                    assert_eq!(again, made.views[view][192 * place..][..192]);
                }
            }
        }
    }

    /// Images without faults.
    struct Fixed(Vec<RgbImage>);

    impl ImageDataset for Fixed {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
            Ok(Arc::new(self.0[index].clone()))
        }
        fn label(&self, _: usize) -> Option<u32> {
            None
        }
        fn class_names(&self) -> &[String] {
            &[]
        }
    }

    #[test]
    fn a_batch_of_huge_images_is_not_drawn() {
        let huge = Arc::new(Fixed(vec![RgbImage::new(12_000, 1), RgbImage::new(1, 30_000)]));
        let config = LoaderConfig {
            batch_size: 2,
            seed: 0,
            prefetch: 1,
            threads: Some(1),
            shard: Shard::default(),
        };
        let loader = ViewLoader::new(huge, pair(), &config).unwrap();
        let error = loader.stream_drawn(0, 1).next().unwrap().unwrap_err().to_string();
        assert!(error.contains("12000×30000"), "{error}");
    }

    #[test]
    fn dropping_a_stream_early_ends_its_worker() {
        let loader = loader(Arc::new(ShapesDataset::new(0, 0, 100)), 2, 0);
        let mut stream = loader.stream(0, u64::MAX);
        stream.next().unwrap().unwrap();
        drop(stream);
        // The worker held the other handle.
        assert_eq!(Arc::strong_count(&loader.work), 1);
    }

    /// Every third image is unreadable.
    struct Holes(ShapesDataset);

    impl ImageDataset for Holes {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
            match index % 3 {
                0 => Err(DataError::Request(format!("image {index} is broken"))),
                _ => self.0.image(index),
            }
        }
        fn label(&self, index: usize) -> Option<u32> {
            self.0.label(index)
        }
        fn class_names(&self) -> &[String] {
            self.0.class_names()
        }
    }

    #[test]
    fn the_next_readable_image_takes_the_place_of_a_broken_one() {
        let holes = || Arc::new(Holes(ShapesDataset::new(0, 0, 8)));
        let one = loader(holes(), 1, 0);
        let made = batches(&one, 0, 2);
        assert!(made.iter().flat_map(|b| &b.indices).all(|i| i % 3 != 0));
        assert_eq!(one.skipped().keys().copied().collect::<Vec<_>>(), [0, 3, 6]);
        assert_eq!(made, batches(&loader(holes(), 2, 0), 0, 2));
    }

    /// The disk of the last image has gone.
    struct Gone(ShapesDataset, ErrorKind);

    impl ImageDataset for Gone {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
            if index + 1 == self.len() {
                return Err(DataError::io("read", "image.png".as_ref())(self.1.into()));
            }
            self.0.image(index)
        }
        fn label(&self, index: usize) -> Option<u32> {
            self.0.label(index)
        }
        fn class_names(&self) -> &[String] {
            self.0.class_names()
        }
    }

    #[test]
    fn a_vanished_image_ends_the_stream_where_a_forbidden_one_is_skipped() {
        let gone = |kind| Arc::new(Gone(ShapesDataset::new(0, 0, 8), kind));
        let one = loader(gone(ErrorKind::NotFound), 2, 0);
        let made: Vec<_> = one.stream(0, 100).collect();
        assert!(made.len() <= 2, "the first epoch has it");
        assert!(matches!(made.last(), Some(Err(DataError::Io { .. }))));
        assert!(one.skipped().is_empty());
        assert_eq!(batches(&loader(gone(ErrorKind::PermissionDenied), 2, 0), 0, 2).len(), 2);
    }

    #[test]
    fn a_batch_larger_than_the_data_is_refused() {
        let config = LoaderConfig {
            batch_size: 9,
            seed: 0,
            prefetch: 1,
            threads: Some(1),
            shard: Shard::default(),
        };
        let shapes = Arc::new(ShapesDataset::new(0, 0, 8));
        assert!(ViewLoader::new(shapes.clone(), pair(), &config).is_err());
        let shard = Shard { index: 0, count: 3 };
        let parts = LoaderConfig { batch_size: 3, shard, ..config.clone() };
        assert!(ViewLoader::new(shapes.clone(), pair(), &parts).is_err());
        let shard = Shard { index: 2, count: 2 };
        let absent = LoaderConfig { batch_size: 1, shard, ..config };
        assert!(ViewLoader::new(shapes, pair(), &absent).is_err());
    }

    #[test]
    fn few_images_are_all_seen_in_batches_of_about_one_size() {
        for (len, batch_size, sizes) in [
            (100, 64, &[50, 50][..]),
            (10, 64, &[10]),
            (8, 4, &[4, 4]),
            (9, 4, &[3, 3, 3]),
            (3, 2, &[3]),
            (7, 2, &[2, 2, 3]),
            (1, 64, &[1]),
        ] {
            let config = LoaderConfig {
                batch_size,
                seed: 0,
                prefetch: 1,
                threads: Some(1),
                shard: Shard::default(),
            };
            let shapes = Arc::new(ShapesDataset::new(0, 0, len));
            let loader = ViewLoader::every_image(shapes, pair(), &config).unwrap();
            let per_epoch = loader.batches_per_epoch();
            for epoch in 0..2 {
                let made = batches(&loader, epoch * per_epoch, (epoch + 1) * per_epoch);
                assert_eq!(made.iter().map(|b| b.batch).collect::<Vec<_>>(), sizes);
                let mut all: Vec<usize> = made.into_iter().flat_map(|b| b.indices).collect();
                all.sort_unstable();
                assert_eq!(all, (0..len).collect::<Vec<_>>());
            }
        }
        let none = LoaderConfig {
            batch_size: 0,
            seed: 0,
            prefetch: 1,
            threads: Some(1),
            shard: Shard::default(),
        };
        let shapes = |len| Arc::new(ShapesDataset::new(0, 0, len));
        assert!(ViewLoader::every_image(shapes(5), pair(), &none).is_err());
        let some = LoaderConfig { batch_size: 4, ..none };
        assert!(ViewLoader::every_image(shapes(0), pair(), &some).is_err());
    }

    /// Two processes together see each image once, as one process would.
    #[test]
    fn shards_divide_an_epoch() {
        let shapes = Arc::new(ShapesDataset::new(0, 0, 17));
        let part = |index| {
            let config = LoaderConfig {
                batch_size: 4,
                seed: 3,
                prefetch: 1,
                threads: Some(1),
                shard: Shard { index, count: 2 },
            };
            let loader = ViewLoader::new(shapes.clone(), pair(), &config).unwrap();
            assert_eq!(loader.batches_per_epoch(), 2);
            batches(&loader, 0, 4)
        };
        let parts = [part(0), part(1)];
        let epoch = |n: usize| {
            let of = |part: &Vec<ViewBatch>| -> Vec<usize> {
                part[2 * n..2 * n + 2].iter().flat_map(|b| b.indices.clone()).collect()
            };
            parts.each_ref().map(of)
        };
        for n in 0..2 {
            let mut all = epoch(n).concat();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 16, "no image twice");
        }
        assert_ne!(epoch(0)[0], epoch(1)[0], "parts change from epoch to epoch");
    }
}
