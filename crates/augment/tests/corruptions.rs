//! The fifteen corruptions compared with the authors' programs, and properties for any picture.
//!
//! `tests/reference/corruptions.py` makes the references and says how. Corruptions without
//! randomness are compared value by value; random ones by the moments of five statistics over many
//! draws. `cargo test --release -p selfsame-augment --test corruptions -- --nocapture` prints the
//! differences, those from another file of references with `SELFSAME_CORRUPTIONS=FILE`.

#![allow(clippy::print_stdout, reason = "the differences are what one runs it for")]

use std::path::PathBuf;
use std::time::Instant;

use image::RgbImage;
use proptest::prelude::*;
use safetensors::SafeTensors;
use selfsame_augment::{Corruption, CorruptionFamily, RgbSource, Severity};

fn corrupt(corruption: Corruption, severity: Severity, image: &RgbImage, index: u64) -> RgbImage {
    let mut rng = corruption.key(severity, 0, index).rng();
    corruption.apply(severity, RgbSource::try_from(image).unwrap(), &mut rng)
}

/// Waves, a disc and a little noise: `drawn` in `corruptions.py`.
fn drawn(side: u32, k: i64) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| {
        let (x, y, side) = (i64::from(x), i64::from(y), i64::from(side));
        let (u, v) = (x * 224 / side, y * 224 / side);
        let inside = (u - 112).pow(2) + (v - 90).pow(2) < 3600;
        image::Rgb([0, 1, 2].map(|c| {
            let phase = u * (2 + c) + v * (3 - c) + 90 * c + 40 * k;
            let wave = (phase.rem_euclid(510) - 255).abs();
            let level = if inside { wave / 3 + 140 - 50 * c } else { wave * 3 / 4 };
            let hash = (x * 7919 + y * 104_729 + c * 1_299_709 + k * 15_485_863) * 2_654_435_761;
            (level + 16 + (hash.rem_euclid(1 << 32) >> 28)).clamp(0, 255) as u8
        }))
    })
}

/// As in `corruptions.py`.
fn statistics(clean: &RgbImage, corrupted: &RgbImage) -> [f64; 5] {
    let levels = |image: &RgbImage| image.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
    let (clean, values) = (levels(clean), levels(corrupted));
    let count = values.len() as f64;
    let differences: Vec<f64> = values.iter().zip(&clean).map(|(a, b)| a - b).collect();
    let mean = differences.iter().sum::<f64>() / count;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / count;
    let absolute = differences.iter().map(|d| d.abs()).sum::<f64>() / count;
    let pitch = 3 * corrupted.width() as usize;
    let steps = |pairs: Vec<(f64, f64)>| {
        pairs.iter().map(|(a, b)| (a - b).abs()).sum::<f64>() / pairs.len() as f64
    };
    let across = values.chunks(pitch).flat_map(|row| row.iter().copied().zip(row[3..].to_vec()));
    let down = values.iter().copied().zip(values[pitch..].iter().copied());
    [mean, variance.sqrt(), absolute, steps(across.collect()), steps(down.collect())]
}

/// Where the references are, and whether they are the committed ones.
fn reference_file() -> (PathBuf, bool) {
    match std::env::var_os("SELFSAME_CORRUPTIONS") {
        Some(path) => (path.into(), false),
        None => {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference");
            (PathBuf::from(folder).join("corruptions.safetensors"), true)
        }
    }
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
}

/// The pictures that references of a side were made from.
fn pictures(file: &SafeTensors, side: u32) -> Vec<RgbImage> {
    match file.tensor(&format!("input/{side}")) {
        Ok(input) => input
            .data()
            .chunks((3 * side * side) as usize)
            .map(|pixels| RgbImage::from_raw(side, side, pixels.to_vec()).unwrap())
            .collect(),
        Err(_) => vec![drawn(side, 0), drawn(side, 1)],
    }
}

/// Largest and mean difference for each severity, in levels.
#[test]
fn deterministic_ones_agree_with_the_authors_program() {
    let (path, _) = reference_file();
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    println!("| corruption | pixels | values | largest difference | mean | beyond 1/255 |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for side in [32, 224] {
        let pictures = pictures(&file, side);
        let stride =
            file.tensor(&format!("stride/{side}")).unwrap().data()[0..4].try_into().unwrap();
        let stride = i32::from_le_bytes(stride) as usize;
        for corruption in Corruption::ALL.into_iter().filter(|c| !c.is_random()) {
            let (mut worst, mut sum, mut beyond, mut count) = (0, 0u64, 0, 0);
            for severity in Severity::ALL {
                let name = format!("pixels/{}/{side}/{}", corruption.name(), severity.level());
                let tensor = file.tensor(&name).unwrap();
                let mut expected = tensor.data().iter();
                for picture in &pictures {
                    let found = corrupt(corruption, severity, picture, 0);
                    for (found, expected) in found.iter().step_by(stride).zip(expected.by_ref()) {
                        let difference = found.abs_diff(*expected);
                        worst = worst.max(difference);
                        sum += u64::from(difference);
                        beyond += usize::from(difference > 1);
                        count += 1;
                    }
                }
                assert_eq!(expected.len(), 0, "{name}");
            }
            let mean = sum as f64 / f64::from(count);
            println!(
                "| {} | {side} | {count} | {worst} | {mean:.4} | {beyond} |",
                corruption.name()
            );
            let name = corruption.name();
            assert!(mean <= 0.05, "{name} {side}: {mean} levels on average");
            assert!(
                worst <= 1,
                "{name} {side}: {beyond} of {count} beyond a level, {worst} at most"
            );
        }
    }
}

/// Five deviations of the difference of two means of so many draws, and a tenth of a level for
/// rounding. Frost is drawn and not photographed, so only its amount must be near.
#[test]
fn random_ones_have_the_moments_of_the_authors_program() {
    let (path, committed) = reference_file();
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    println!(
        "| corruption | pixels | severity | draws | mean | deviation | absolute | across | down |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut wrong = Vec::new();
    for side in [32, 224] {
        let pictures = pictures(&file, side);
        for corruption in Corruption::ALL.into_iter().filter(|c| c.is_random()) {
            for severity in Severity::ALL {
                let name = format!("moments/{}/{side}/{}", corruption.name(), severity.level());
                let moments = floats(file.tensor(&name).unwrap().data());
                let draws = moments[10] as usize;
                // Few of the large ones, since they take long.
                let ours = if committed && side == 224 { 6 } else { draws };
                let mut sums = [0.0; 5];
                for i in 0..ours {
                    let picture = if committed { &pictures[0] } else { &pictures[i] };
                    let found = corrupt(corruption, severity, picture, i as u64);
                    for (sum, value) in sums.iter_mut().zip(statistics(picture, &found)) {
                        *sum += value / ours as f64;
                    }
                }
                let mut row =
                    format!("| {} | {side} | {} | {ours}", corruption.name(), severity.level());
                for (i, mean) in sums.into_iter().enumerate() {
                    let (expected, deviation) = (moments[i], moments[5 + i]);
                    row += &format!(" | {mean:.2} ({expected:.2})");
                    let spread = deviation * (1.0 / ours as f64 + 1.0 / draws as f64).sqrt();
                    let allowed = if corruption == Corruption::Frost {
                        if i < 3 { 0.2 * expected.abs() + 5.0 } else { f64::INFINITY }
                    } else {
                        0.1 + 5.0 * spread
                    };
                    if (mean - expected).abs() > allowed {
                        wrong.push(format!(
                            "{name} {i}: {mean:.3} for {expected:.3} ± {allowed:.3}"
                        ));
                    }
                }
                println!("{row} |");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn stronger_is_further_from_the_picture() {
    for side in [32, 96] {
        for corruption in Corruption::ALL {
            let distance = |severity: Severity| {
                let picture = drawn(side, 0);
                (0..6)
                    .map(|i| statistics(&picture, &corrupt(corruption, severity, &picture, i))[2])
                    .sum::<f64>()
            };
            let [first, .., last] = Severity::ALL;
            // The authors' elastic transform goes from wide and smooth to narrow and rough, at both
            // sizes.
            let monotone = corruption != Corruption::ElasticTransform;
            let (mild, strong) = (distance(first), distance(last));
            assert!(mild > 0.0, "{} at {side}", corruption.name());
            assert!(!monotone || strong > mild, "{} at {side}: {mild} {strong}", corruption.name());
        }
    }
}

#[test]
fn names_are_found_and_families_are_the_papers() {
    for corruption in Corruption::ALL {
        assert_eq!(corruption.name().parse(), Ok(corruption));
        assert_eq!(corruption.name().replace('_', "-").parse(), Ok(corruption));
    }
    let error = "speckle".parse::<Corruption>().unwrap_err().to_string();
    assert!(error.contains("speckle") && error.contains("jpeg_compression"), "{error}");
    let sizes = CorruptionFamily::ALL.map(|family| {
        Corruption::ALL.into_iter().filter(|corruption| corruption.family() == family).count()
    });
    assert_eq!(sizes, [3, 4, 4, 4]);
    assert_eq!(Severity::new(3).map(Severity::level), Ok(3));
    assert!(Severity::new(0).is_err() && Severity::new(6).is_err());
}

#[test]
fn deterministic_ones_draw_nothing_and_random_ones_depend_on_the_key() {
    let picture = drawn(48, 0);
    for corruption in Corruption::ALL {
        for severity in Severity::ALL {
            let first = corrupt(corruption, severity, &picture, 1);
            assert_eq!(first, corrupt(corruption, severity, &picture, 1));
            let same = first == corrupt(corruption, severity, &picture, 2);
            assert_eq!(same, !corruption.is_random(), "{}", corruption.name());
        }
    }
}

#[test]
fn keys_are_all_different() {
    let mut views: Vec<_> = Corruption::ALL
        .into_iter()
        .flat_map(|corruption| Severity::ALL.map(|severity| corruption.key(severity, 3, 4).view))
        .collect();
    views.sort_unstable();
    views.dedup();
    assert_eq!(views.len(), 75);
}

/// Extreme sizes that a random generator would rarely try together.
#[test]
fn any_shape_works() {
    for (width, height) in
        [(1, 1), (1, 2), (2, 1), (3, 3), (1, 500), (500, 1), (65, 65), (64, 300), (129, 67)]
    {
        let picture = RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(x * 37) as u8, (y * 91) as u8, (x * y) as u8])
        });
        for corruption in Corruption::ALL {
            for severity in Severity::ALL {
                let found = corrupt(corruption, severity, &picture, 0);
                assert_eq!(found.dimensions(), (width, height));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_picture_works_and_twice_alike(
        (width, height, pixels) in (1u32..70, 1u32..70).prop_flat_map(|(width, height)| {
            let length = (3 * width * height) as usize;
            (Just(width), Just(height), prop::collection::vec(any::<u8>(), length))
        }),
        which in 0usize..15,
        level in 1u8..=5,
        index in any::<u64>(),
    ) {
        let picture = RgbImage::from_raw(width, height, pixels).unwrap();
        let (corruption, severity) = (Corruption::ALL[which], Severity::new(level).unwrap());
        let found = corrupt(corruption, severity, &picture, index);
        prop_assert_eq!(found.dimensions(), (width, height));
        prop_assert_eq!(found, corrupt(corruption, severity, &picture, index));
    }
}

/// `cargo test --release -p selfsame-augment --test corruptions -- --ignored --nocapture times`
/// prints the time per image on one core, the mean of the five severities' fastest.
#[test]
#[ignore = "a measurement"]
fn times() {
    println!("| corruption | ms at 32 | ms at 224 |");
    println!("| --- | --- | --- |");
    let mut totals = [0.0; 2];
    for corruption in Corruption::ALL {
        let mut row = format!("| {}", corruption.name());
        for ((side, count), total) in [(32, 100), (224, 6)].into_iter().zip(&mut totals) {
            let picture = drawn(side, 0);
            // The fastest of some images, since a preempted one would count another process's time.
            let fastest = |severity: Severity| {
                let time = |i: u64| {
                    let start = Instant::now();
                    corrupt(corruption, severity, &picture, i);
                    start.elapsed().as_secs_f64() * 1e3
                };
                (0..count).map(time).fold(f64::INFINITY, f64::min)
            };
            let each = Severity::ALL.map(fastest).iter().sum::<f64>() / 5.0;
            *total += each / 15.0;
            row += &format!(" | {each:.3}");
        }
        println!("{row} |");
    }
    println!("| mean | {:.3} | {:.3} |", totals[0], totals[1]);
}
