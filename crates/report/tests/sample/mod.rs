//! A report that looks like a real one, made of drawn pictures and invented numbers.

use selfsame_report::{
    Better, Cell, Chart, Figure, Finding, Gallery, GalleryRow, Heatmap, Level, Line, Map,
    Neighbour, Rank, RunReport, Snippet, Sprite, Table, Verdict, ViewSheet,
};

const TILE: u32 = 28;
const COLUMNS: u32 = 32;
const NAMES: [&str; 10] = [
    "Disc",
    "Square",
    "Ring",
    "Cross",
    "Stripes",
    "Triangle",
    "Frame",
    "Diamond",
    "Checks",
    "Ankle boot",
];

/// SplitMix64: numbers in 0..1 that are the same everywhere.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal, by twelve uniform numbers.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// JSON's reader may be wrong in the last digit of long numbers.
fn rounded(number: f64) -> f64 {
    (number * 1e12).round() / 1e12
}

/// A run of `quality` 0 (untrained) to 1, over `images` images.
pub fn run(method: &str, name: &str, quality: f64, images: u32, seed: u64) -> RunReport {
    let labels: Vec<u32> = (0..images).map(|i| i % 10).collect();
    let knn = 0.62 + 0.2 * quality;
    let side = if images < 1000 { 48 } else { 256 };
    RunReport {
        title: format!("{method} on drawn shapes"),
        name: name.into(),
        verdict: Some(verdict(quality, knn)),
        figures: figures(quality, knn),
        tables: tables(quality, knn),
        charts: charts(quality, knn, seed),
        galleries: vec![
            gallery("Before training", 0.45, &labels, seed),
            gallery("After training", 0.55 + 0.4 * quality, &labels, seed + 1),
        ],
        maps: vec![
            map("t-SNE before training", 2.6, &labels, seed),
            map("t-SNE after training", 2.0 - 1.4 * quality, &labels, seed + 1),
        ],
        heatmaps: vec![
            heatmap("Before training", side / 4, 0.2, seed),
            heatmap("After training", side, quality, seed),
        ],
        class_names: NAMES.map(String::from).to_vec(),
        views: Some(ViewSheet {
            caption: "Six images, each with two others in place of its views.".into(),
            rows: (0..6).map(|i| vec![i, i + 10, i + 20]).collect(),
        }),
        sprite: Some(sprite(&labels)),
        map_sprite: None,
        command: format!("cargo xtask pretrain {} --dataset shapes", method.to_lowercase()),
        snippets: vec![Snippet {
            title: "Load the encoder in Python".into(),
            code: "from safetensors.torch import load_file\nweights = load_file(\"encoder.safetensors\")".into(),
        }],
        settings: format!(
            "seed = {seed}\nmethod = \"{}\"\n\n[data]\ndataset = \"shapes\"\nlimit = 8000\nviews = 2\n\n[train]\n\
             # The learning rate is for a batch of 256 images.\nepochs = 20\nbatch_size = 128\nlearning_rate = {:.2}\n\
             weight_decay = 1e-6\nwarmup_epochs = 2\n\n[encoder]\nname = \"resnet18\"\nwidth = 16\n\n[projector]\n\
             hidden = 512\noutput = 256\n\n[augment]\ncrop_scale = [0.2, 1.0]\nflip = 0.5\njitter = 0.8\n\
             grayscale = 0.2\nblur = [0.5, 0.1]\nsolarize = [0.0, 0.2]\n",
            method.to_lowercase().replace(' ', "-"),
            0.2 + quality / 10.0
        ),
        machine: [
            ("Device", "flex"),
            ("Processor", "2 cores, AVX-512"),
            ("Memory", "8 GiB"),
            ("System", "Linux 6.1"),
            ("Commit", "17d4af3"),
        ]
        .map(|(a, b)| (a.into(), b.into()))
        .to_vec(),
    }
}

fn verdict(quality: f64, knn: f64) -> Verdict {
    let finding = |level, text: String, advice: Option<&str>| Finding {
        level,
        text,
        advice: advice.map(String::from),
    };
    if quality < 0.2 {
        return Verdict {
            level: Level::Collapsed,
            headline: "All embeddings lie near one point.".into(),
            findings: vec![finding(
                Level::Collapsed,
                "Embedding std × √dim is 0.03; 1 is spread evenly over the sphere.".into(),
                Some("Lower the learning rate, or raise the base momentum of the target network."),
            )],
        };
    }
    let doubtful = if quality < 0.6 { Level::Warning } else { Level::Healthy };
    Verdict {
        level: doubtful,
        headline: format!(
            "Neighbours are of the same class {:.1} % of the time, {:.1} points above the untrained encoder, \
             and the embeddings fill their space.",
            100.0 * knn,
            100.0 * (knn - 0.62)
        ),
        findings: vec![
            finding(
                Level::Healthy,
                "Embedding std × √dim is 0.94 (1 is spread evenly, 0 is one point).".into(),
                None,
            ),
            finding(Level::Healthy, "Effective rank 131 of 256 dimensions.".into(), None),
            finding(
                Level::Warning,
                "Raw pixels are still better than the encoder: 80.9 % against the figure above."
                    .into(),
                Some(
                    "Train longer: the curve of k-NN still rises at its end. 40 epochs are a good next step.",
                ),
            ),
        ],
    }
}

fn figures(quality: f64, knn: f64) -> Vec<Figure> {
    let figure = |name: &str, value: String, note: &str, rank| Figure {
        name: name.into(),
        value,
        note: note.into(),
        rank,
    };
    let rank = |number, better| Some(Rank { number: rounded(number), better });
    let percent = |v: f64| format!("{:.1} %", 100.0 * v);
    let speed = 812.0 - 90.0 * quality;
    vec![
        figure(
            "k-NN top-1",
            percent(knn),
            "untrained 62.0 %, pixels 80.9 %",
            rank(knn, Better::Higher),
        ),
        figure(
            "Linear probe top-1",
            percent(knn + 0.04),
            "untrained 71.3 %",
            rank(knn + 0.04, Better::Higher),
        ),
        figure(
            "Effective rank",
            format!("{:.0}", 20.0 + 130.0 * quality),
            "of 256 dimensions",
            None,
        ),
        figure(
            "Training time",
            "6 min 41 s".into(),
            "20 epochs, 1,240 steps",
            rank(401.0, Better::Lower),
        ),
        figure("Images per second", format!("{speed:.0}"), "", rank(speed, Better::Higher)),
        figure("Embedding std × √dim", format!("{:.2}", quality.sqrt()), "", None),
        figure("Final loss", format!("{:.3}", 0.9 - 0.5 * quality), "", None),
        figure("Peak memory", "1.2 GiB".into(), "", None),
        figure("Skipped images", "0".into(), "", None),
    ]
}

fn tables(quality: f64, knn: f64) -> Vec<Table> {
    let share = |v: f64, strong| Cell {
        text: format!("{:.1} %", 100.0 * v),
        interval: Some([v - 0.018, v, v + 0.016].map(rounded)),
        strong,
    };
    let row = |name: &str, knn: f64, linear: f64, few: f64, strong| {
        vec![name.into(), share(knn, strong), share(linear, strong), share(few, strong)]
    };
    let robust = |name: &str, value: f64| {
        let kept = format!("{:.2}", value / knn);
        vec![name.into(), Cell::from(format!("{:.1} %", 100.0 * value)), kept.into()]
    };
    vec![
        Table {
            title: "Top-1 on 2,000 held-out images".into(),
            caption: "95 % confidence intervals by bootstrap over the test images, drawn on one scale for each \
                      column."
                .into(),
            header: ["Features", "k-NN (k = 20)", "Linear probe", "1 % of the labels"].map(String::from).to_vec(),
            rows: vec![
                row("This encoder", knn, knn + 0.04, knn - 0.08, true),
                row("Raw pixels", 0.809, 0.83, 0.66, false),
                row("Untrained encoder", 0.62, 0.713, 0.51, false),
            ],
        },
        Table {
            title: "Robustness".into(),
            caption: "k-NN top-1 where the test images are changed.".into(),
            header: ["Change", "Top-1", "Share kept"].map(String::from).to_vec(),
            rows: vec![
                robust("None", knn),
                robust("Gaussian noise, σ = 0.1", knn - 0.12 + 0.05 * quality),
                robust("Rotation by 15°", knn - 0.2),
                robust("Half the contrast", knn - 0.02),
            ],
        },
    ]
}

fn charts(quality: f64, knn: f64, seed: u64) -> Vec<Chart> {
    let mut numbers = Numbers(seed);
    let mut curve = |n: u32, end: f64, from: f64, to: f64, noise: f64| -> Vec<[f64; 2]> {
        (0..=n)
            .map(|i| {
                let t = f64::from(i) / f64::from(n);
                let value = to + (from - to) * (-5.0 * t).exp();
                [rounded(t * end), rounded(value + noise * numbers.normal())]
            })
            .collect()
    };
    let measured = |name: &str, points| Line::measured(name, points);
    let baseline = |name: &str, value: f64| Line::baseline(name, vec![[0.0, value], [20.0, value]]);
    let chart = |title: &str, caption: &str, x: &str, y: &str, log_y, lines| Chart {
        title: title.into(),
        caption: caption.into(),
        x_label: x.into(),
        y_label: y.into(),
        log_y,
        log_x: false,
        lines,
    };
    let spectrum = |decay: f64| {
        (1..=256).map(|k| [f64::from(k), rounded(40.0 * (-f64::from(k) / decay).exp())]).collect()
    };
    vec![
        chart(
            "Loss",
            "Mean over the steps logged.",
            "epoch",
            "loss",
            false,
            vec![measured("loss", curve(1240, 20.0, 1.9, 0.9 - 0.5 * quality, 0.02))],
        ),
        chart(
            "k-NN top-1 on held-out images",
            "Weighted k-NN, k = 20, against raw pixels and the untrained encoder.",
            "epoch",
            "top-1",
            false,
            vec![
                measured("this run", curve(20, 20.0, 0.62, knn, 0.003)),
                baseline("raw pixels", 0.809),
                baseline("untrained", 0.62),
            ],
        ),
        chart(
            "Collapse",
            "Both are shares of the most there could be: 0 is one point, 1 fills the space.",
            "epoch",
            "share",
            false,
            vec![
                measured("std × √dim", curve(40, 20.0, 0.5, 0.5 + 0.45 * quality, 0.006)),
                measured("effective rank", curve(40, 20.0, 0.1, 0.1 + 0.5 * quality, 0.006)),
            ],
        ),
        chart(
            "Singular values of the embeddings",
            "A line that falls off a cliff is dimensional collapse.",
            "dimension",
            "singular value",
            true,
            vec![
                measured("before", spectrum(14.0)),
                measured("after", spectrum(14.0 + 60.0 * quality)),
            ],
        ),
    ]
}

fn gallery(title: &str, right: f64, labels: &[u32], seed: u64) -> Gallery {
    let mut numbers = Numbers(seed ^ 0x9a11);
    let images = labels.len() as u32;
    let mut any_of = |label: u32| (numbers.next() * f64::from(images / 10)) as u32 * 10 + label;
    let mut chance = Numbers(seed);
    let rows = (0..10)
        .map(|label| GalleryRow {
            query: label,
            query_label: Some(label),
            neighbours: (0..8)
                .map(|rank| {
                    let other = if chance.next() < right { label } else { (label + 1 + rank) % 10 };
                    let similarity = (0.97 - 0.02 * f64::from(rank) - 0.01 * chance.next()) as f32;
                    Neighbour { image: any_of(other), similarity, label: Some(other) }
                })
                .collect(),
        })
        .collect();
    Gallery {
        title: title.into(),
        caption: "Left, framed: a test image. Then the training images nearest to it by cosine similarity.".into(),
        rows,
    }
}

fn map(title: &str, spread: f64, labels: &[u32], seed: u64) -> Map {
    let mut numbers = Numbers(seed ^ 0x3a9);
    let points = labels.iter().map(|label| {
        let angle = f64::from(*label) * 0.628;
        let radius = 5.0 + 2.0 * f64::from(label % 3);
        [
            (radius * angle.cos() + spread * numbers.normal()) as f32,
            (radius * angle.sin() + spread * numbers.normal()) as f32,
        ]
    });
    Map {
        title: title.into(),
        caption: "Test images by their features; perplexity 30.".into(),
        points: points.collect(),
        classes: labels.iter().map(|l| Some(*l)).collect(),
        images: (0..labels.len() as u32).collect(),
    }
}

fn heatmap(title: &str, side: usize, quality: f64, seed: u64) -> Heatmap {
    let mut numbers = Numbers(seed ^ 0xc0);
    let factors: Vec<f64> = (0..side).map(|_| numbers.normal()).collect();
    let values = (0..side * side).map(|i| {
        let (row, column) = (i / side, i % side);
        let shared = 0.4 * (1.0 - quality) * (factors[row] * factors[column]).tanh();
        let diagonal = if row == column { 0.3 + 0.65 * quality } else { 0.0 };
        (shared + diagonal + 0.04 * numbers.normal()) as f32
    });
    Heatmap {
        title: title.into(),
        caption: "Correlation of the embeddings of two views; Barlow Twins aims at the identity."
            .into(),
        rows: side,
        columns: side,
        values: values.collect(),
    }
}

/// Each image is a grey shape of its class, of its own size, place and shade.
fn sprite(labels: &[u32]) -> Sprite {
    let count = labels.len() as u32;
    let (width, height) = (COLUMNS * TILE, count.div_ceil(COLUMNS) * TILE);
    let mut pixels = vec![0u8; (width * height) as usize];
    let mut numbers = Numbers(7);
    for (i, label) in labels.iter().enumerate() {
        let i = i as u32;
        let (left, top) = (i % COLUMNS * TILE, i / COLUMNS * TILE);
        let (size, shade) = (7.0 + 5.0 * numbers.next(), 110.0 + 140.0 * numbers.next());
        let center = [14.0 + 3.0 * numbers.next(), 12.5 + 3.0 * numbers.next()];
        for y in 0..TILE {
            for x in 0..TILE {
                let (u, v) = ((f64::from(x) - center[0]) / size, (f64::from(y) - center[1]) / size);
                let texture = 0.85 + 0.15 * ((u * 3.0).sin() * (v * 4.0).cos());
                let value = if inside(*label, u, v) { shade * texture } else { 12.0 };
                pixels[((top + y) * width + left + x) as usize] = value as u8;
            }
        }
    }
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&pixels).expect("the pixels");
    writer.finish().expect("the end");
    Sprite { picture: png, tile: TILE, columns: COLUMNS, count }
}

fn inside(label: u32, u: f64, v: f64) -> bool {
    let (radius, square) = (u.hypot(v), u.abs().max(v.abs()));
    match label {
        0 => radius < 1.0,
        1 => square < 0.85,
        2 => (0.6..1.0).contains(&radius),
        3 => square < 1.0 && (u.abs() < 0.3 || v.abs() < 0.3),
        4 => square < 0.95 && (v * 3.5).rem_euclid(2.0) < 1.0,
        5 => v < 0.8 && v > 2.0 * u.abs() - 1.0,
        6 => (0.6..0.95).contains(&square),
        7 => u.abs() + v.abs() < 1.1,
        8 => square < 0.95 && ((u * 3.0).floor() + (v * 3.0).floor()).rem_euclid(2.0) < 1.0,
        _ => (v > 0.2 && v < 0.8 && u.abs() < 1.0) || (u > 0.1 && u < 0.8 && v.abs() < 0.8),
    }
}
