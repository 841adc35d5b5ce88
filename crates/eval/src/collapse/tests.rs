//! The verdict on constructed cases: embeddings that are collapsed or healthy by construction.

use proptest::prelude::*;

use super::*;

fn features(values: Vec<f32>, dim: usize) -> Features {
    let rows = values.len() / dim;
    Features::new(values, rows, dim).unwrap()
}

/// Uniform in ±0.5, and always the same.
fn uniform(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

/// Sums of twelve uniforms: normal enough.
fn normal(n: usize) -> Vec<f32> {
    uniform(12 * n, 9).chunks_exact(12).map(|c| c.iter().sum()).collect()
}

/// Rows in a random k-dimensional subspace.
fn rank(k: usize, rows: usize, dim: usize) -> Features {
    let (codes, basis) = (normal(rows * k), uniform(k * dim, 77));
    let row = |code: &[f32]| -> Vec<f32> {
        (0..dim)
            .map(|d| code.iter().enumerate().map(|(i, c)| c * basis[i * dim + d]).sum())
            .collect()
    };
    features(codes.chunks_exact(k).flat_map(row).collect(), dim)
}

fn verdict(embeddings: &Features) -> Diagnosis {
    let spread = Spread::of(embeddings).unwrap();
    Evidence { features: Some(&spread), ..Evidence::default() }.diagnose()
}

/// Level and headline must be these.
fn assert_verdict(embeddings: &Features, level: Level, headline: &str) {
    let diagnosis = verdict(embeddings);
    assert_eq!((diagnosis.level, diagnosis.headline.as_str()), (level, headline), "{diagnosis:#?}");
}

const ONE_POINT: &str = "complete collapse: every image maps to one point (features)";

#[test]
fn constant_is_complete_collapse() {
    assert_verdict(&features([0.3, -0.4, 0.5].repeat(50), 3), Level::Collapsed, ONE_POINT);
    assert_verdict(&features(vec![0.0; 512], 8), Level::Collapsed, ONE_POINT);
    let s = collapse_signals(&features([0.3, -0.4, 0.5].repeat(50), 3)).unwrap();
    assert!(s.std < 1e-6 && (s.effective_rank - 1.0).abs() < 1e-3, "{s:?}");
}

#[test]
fn constant_and_noise_of_a_millionth_is_complete_collapse() {
    let noisy = normal(500 * 64).iter().map(|v| 0.7 + 1e-6 * v).collect();
    let noisy = features(noisy, 64);
    assert_verdict(&noisy, Level::Collapsed, ONE_POINT);
    // Though the noise itself is isotropic.
    assert!(Spread::of(&noisy).unwrap().centred_effective_rank > 55.0);
}

#[test]
fn one_ray_is_complete_collapse_of_directions() {
    let ray = (1..=40).flat_map(|i| [1.0, -2.0, 0.5, 3.0].map(|v| v * i as f32)).collect();
    let headline =
        "complete collapse: every image maps to one direction, only lengths differ (features)";
    assert_verdict(&features(ray, 4), Level::Collapsed, headline);
}

#[test]
fn rank_one_is_dimensional_collapse() {
    let line = "dimensional collapse: 1 of 256 directions used (features)";
    assert_verdict(&rank(1, 1000, 256), Level::Collapsed, line);
    assert!((Spread::of(&rank(1, 1000, 256)).unwrap().effective_rank - 1.0).abs() < 1e-3);
}

#[test]
fn rank_k_says_k() {
    for (k, rows, dim, level, words) in [
        (12, 1000, 256, Level::Collapsed, "dimensional collapse: 12 of 256 directions"),
        (3, 400, 64, Level::Collapsed, "dimensional collapse: 3 of 64 directions"),
        (2, 400, 16, Level::Collapsed, "dimensional collapse: 2 of 16 directions"),
        (20, 1000, 256, Level::Warning, "near dimensional collapse: 20 of 256 directions"),
        (200, 1000, 256, Level::Healthy, "no collapse: 200 of 256 directions used"),
    ] {
        let diagnosis = verdict(&rank(k, rows, dim));
        assert_eq!(diagnosis.level, level, "{diagnosis:#?}");
        assert!(diagnosis.headline.starts_with(words), "{}", diagnosis.headline);
        assert_eq!(Spread::of(&rank(k, rows, dim)).unwrap().directions, k);
    }
}

#[test]
fn noise_below_a_hundredth_is_no_direction() {
    let mut noisy = rank(5, 500, 64).values().to_vec();
    noisy.iter_mut().zip(normal(500 * 64).iter().rev()).for_each(|(v, n)| *v += 1e-3 * n);
    assert_eq!(Spread::of(&features(noisy, 64)).unwrap().directions, 5);
}

#[test]
fn an_isotropic_cloud_is_healthy() {
    let cloud = features(normal(4000 * 16), 16);
    let s = Spread::of(&cloud).unwrap();
    assert!(s.effective_rank > 15.9 && s.centred_effective_rank > 15.9 && s.participation > 15.5);
    assert!((s.mean_std - 1.0).abs() < 0.02 && s.effective_rank_share() > 0.99);
    assert_eq!(verdict(&cloud).level, Level::Healthy);
}

#[test]
fn few_rows_are_too_few_to_tell_and_not_a_collapse() {
    let headline =
        "too few images to tell how many directions are used: 16, and 32 are needed (features)";
    assert_verdict(&features(normal(16 * 128), 128), Level::Unknown, headline);
    // The least that is judged.
    assert_eq!(verdict(&features(normal(32 * 128), 128)).level, Level::Healthy);
    let headline = "too few images to tell how embeddings differ: 4, and 8 are needed (features)";
    assert_verdict(&features(normal(4 * 8), 8), Level::Unknown, headline);
    // One point is one point.
    assert_verdict(&features([0.1, 0.2].repeat(10), 2), Level::Collapsed, ONE_POINT);
    assert!(Spread::of(&features(vec![1.0, 2.0], 2)).is_err());
}

#[test]
fn dead_dimensions_are_counted() {
    let killed = |dead: usize| {
        let mut values = normal(1000 * 256);
        values.chunks_exact_mut(256).for_each(|row| row[..dead].fill(0.25));
        features(values, 256)
    };
    let one = killed(1);
    let verdict = verdict(&one);
    assert_eq!(verdict.level, Level::Healthy);
    let dead = "dead dimensions: 1 of 256 never change (features)";
    assert!(verdict.findings.iter().any(|f| f.text == dead && f.kind.is_none()), "{verdict:#?}");
    let s = Spread::of(&one).unwrap();
    assert_eq!((s.dead, s.directions), (vec![0], 255));
    let dead = "dead dimensions: 128 of 256 never change (features)";
    assert_verdict(&killed(128), Level::Warning, dead);
    let headline = "dimensional collapse: 6 of 256 directions used (features)";
    assert_verdict(&killed(250), Level::Collapsed, headline);
}

#[test]
fn non_negative_features_with_a_common_mean_are_healthy() {
    // As after ReLU and pooling: a large common part, and a small one for each image.
    let values: Vec<f32> = normal(2000 * 64).iter().map(|v| (v + 1.0).max(0.0)).collect();
    let relu = features(values, 64);
    assert_eq!(verdict(&relu).level, Level::Healthy);
    // The mean lowers RankMe, not the rank of the differences.
    let s = Spread::of(&relu).unwrap();
    assert!(s.effective_rank < 55.0 && s.centred_effective_rank > 63.0, "{s:?}");
}

#[test]
fn a_large_common_mean_makes_small_differences() {
    let values = normal(500 * 32).iter().map(|v| 30.0 + v).collect();
    let diagnosis = verdict(&features(values, 32));
    assert_eq!((diagnosis.level, diagnosis.kind), (Level::Warning, Some(Kind::SmallDifferences)));
}

#[test]
fn two_clusters_are_one_direction() {
    let values = (0..400).flat_map(|i| if i % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] }.repeat(32));
    let headline = "dimensional collapse: 1 of 64 directions used (features)";
    assert_verdict(&features(values.collect(), 64), Level::Collapsed, headline);
}

#[test]
fn ten_orthogonal_classes_differ_in_nine_directions() {
    let one_hot = |i: usize| (0..256).map(move |d| f32::from(u8::from(d == i % 10)));
    let classes = features((0..1000).flat_map(one_hot).collect(), 256);
    let s = Spread::of(&classes).unwrap();
    // Ten points span nine differences; RankMe, uncentred, has ten.
    assert_eq!(s.directions, 9);
    assert!(
        (s.effective_rank - 10.0).abs() < 1e-3 && (s.centred_effective_rank - 9.0).abs() < 1e-3
    );
    let headline = "dimensional collapse: 9 of 256 directions used (features)";
    assert_verdict(&classes, Level::Collapsed, headline);
}

#[test]
fn narrow_projections_are_no_fault_when_the_features_are_wide() {
    let (wide, narrow) = (features(normal(500 * 64), 64), rank(5, 500, 128));
    let (wide, narrow) = (Spread::of(&wide).unwrap(), Spread::of(&narrow).unwrap());
    let alone = Evidence { projections: Some(&narrow), ..Evidence::default() };
    let headline = "narrow projections: 5 of 128 directions used (projections)";
    assert_eq!((alone.diagnose().level, &*alone.diagnose().headline), (Level::Warning, headline));
    let both = Evidence { features: Some(&wide), trained: Some(Trained::Byol), ..alone }.diagnose();
    assert_eq!((both.level, both.kind), (Level::Healthy, None));
    assert!(both.headline.starts_with("no collapse: 64 of 64 directions used"), "{both:#?}");
}

#[test]
fn reference_values_of_numpy() {
    let mut a = uniform(60, 1);
    let shift = [0.25, 0.0, -0.5, 0.0, 1.0];
    a.chunks_exact_mut(5).for_each(|row| row.iter_mut().zip(shift).for_each(|(v, s)| *v += s));
    let b = a.iter().zip(uniform(60, 2)).map(|(a, n)| a + 0.5 * n).collect();
    let (a, b) = (features(a, 5), features(b, 5));
    let near = |value: f64, reference: f64| {
        assert!((value - reference).abs() < 2e-6 * (1.0 + reference.abs()), "{value} {reference}");
    };

    let s = Spread::of(&a).unwrap();
    near(s.mean_std, 0.455_707_550_559_520_06);
    near(s.spread, 0.214_558_455_812_29);
    near(s.raw_spread, 0.241_526_526_884_857_3);
    near(s.effective_rank, 3.917_560_215_565_354);
    near(s.centred_effective_rank, 4.741_751_250_651_316);
    near(s.participation, 3.786_736_321_571_881_4);
    let spectrum = [0.398_707_62, 0.336_329_64, 0.322_002_3, 0.188_635_2, 0.165_482_6];
    s.spectrum.iter().zip(spectrum).for_each(|(v, r)| near(*v, r));

    let p = PairSignals::of(&a, &b).unwrap();
    near(p.alignment, 0.041_860_439_868_882_54);
    near(p.uniformity, -0.890_734_699_107_878_3);
    near(p.on_diagonal, 0.044_318_886_184_675_11);
    near(p.off_diagonal, 1.546_174_892_207_562_7);
    near(p.mean_diagonal, 0.911_901_730_920_002);
    near(p.mean_off_diagonal, 0.243_378_238_299_825_7);
    let first = [0.942_840_69, 0.365_334_44, -0.103_153_81, 0.245_542_75, 0.312_000_68];
    p.cross_correlation.iter().zip(first).for_each(|(v, r)| near(f64::from(*v), r));

    let map = PredictorSpectrum::of_map(&a, &b).unwrap();
    near(map.largest, 1.616_753_31);
    let singular = [1.616_753_31, 1.208_695_78, 0.938_569_82, 0.834_273_6, 0.505_692_13];
    map.singular_values.iter().zip(singular).for_each(|(v, r)| near(v * map.largest, r));
    near(map.explained.unwrap(), 0.917_089_662_908_749_9);
    near(map.effective_rank, 4.672_926_004_708_337);
    near(projection_distance(&a, &b).unwrap(), 0.020_930_219_934_441_33);
}

#[test]
fn the_fitted_map_of_a_linear_predictor_has_its_weights_spectrum() {
    let (z, w) = (features(normal(200 * 6), 6), uniform(4 * 6, 5));
    let q = z.iter().flat_map(|z| {
        w.chunks_exact(6).map(move |w| w.iter().zip(z).map(|(w, z)| w * z).sum::<f32>() + 0.5)
    });
    let map = PredictorSpectrum::of_map(&z, &features(q.collect(), 4)).unwrap();
    let weights = PredictorSpectrum::of_weights(&w, 4, 6).unwrap();
    assert!(map.explained.unwrap() > 1.0 - 1e-6);
    assert!((map.largest - weights.largest).abs() < 1e-5);
    let pairs = map.singular_values.iter().zip(&weights.singular_values);
    assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5), "{map:?} {weights:?}");
    assert!(PredictorSpectrum::of_map(&z, &z).is_ok());
    let few = features(normal(6 * 6), 6);
    assert!(PredictorSpectrum::of_map(&few, &few).is_err());
}

#[test]
fn few_directions_of_projections_are_a_collapse_if_they_are_hardly_apart_too() {
    let wide = Spread::of(&features(normal(200 * 16), 16)).unwrap();
    let diagnosis = |mean: f32| {
        let moved = rank(3, 200, 128).values().iter().map(|v| v + mean).collect();
        let projections = Spread::of(&features(moved, 128)).unwrap();
        let evidence = Evidence {
            features: Some(&wide),
            projections: Some(&projections),
            ..Evidence::default()
        };
        (projections.spread, evidence.diagnose())
    };
    let (apart, narrow) = diagnosis(0.0);
    assert_eq!((narrow.level, narrow.kind), (Level::Healthy, None), "{apart}");
    let (apart, collapsed) = diagnosis(12.0);
    assert!(apart > thresholds::COMPLETE && apart < thresholds::SMALL, "{apart}");
    assert_eq!(
        (collapsed.level, collapsed.kind),
        (Level::Collapsed, Some(Kind::DimensionalCollapse { used: 3, of: 128 }))
    );
    assert!(collapsed.headline.contains("3 of 128 directions used"), "{}", collapsed.headline);
}

#[test]
fn a_narrow_predictor_is_named_where_the_projections_are_narrow() {
    let predictor =
        PredictorSpectrum::of_weights(&[1.0, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.1], 3, 3);
    let predictor = Some(predictor.as_ref().unwrap());
    let spread = |k| Spread::of(&rank(k, 500, 128)).unwrap();
    let diagnose = |projections: Spread| {
        let projections = Some(&projections);
        Evidence { predictor, projections, ..Evidence::default() }.diagnose()
    };
    let narrow = diagnose(spread(5));
    let found = narrow.findings.iter().find(|f| f.kind == Some(Kind::NarrowPredictor)).unwrap();
    assert_eq!(found.level, Level::Warning);
    assert_eq!(found.text, "narrow predictor: it passes 1.0 of 3 directions");
    // Runs that learn have such a predictor too.
    let wide = diagnose(spread(60));
    assert_eq!(wide.level, Level::Healthy);
    assert!(wide.findings.iter().all(|f| !f.text.contains("predictor")), "{wide:#?}");
}

#[test]
fn a_target_that_is_the_online_network_is_named() {
    let spread = Spread::of(&features(normal(200 * 8), 8)).unwrap();
    let evidence = Evidence { projections: Some(&spread), ..Evidence::default() };

    let target = Some(TargetDistance { weights: 0.0, projections: 0.0 });
    let copied = Evidence { target, ..evidence }.diagnose();
    assert_eq!((copied.level, copied.kind), (Level::Warning, Some(Kind::TargetEqualsOnline)));
    let target = Some(TargetDistance { weights: 0.5, projections: 0.99 });
    let behind = Evidence { target, ..evidence }.diagnose();
    assert_eq!((behind.level, behind.kind), (Level::Warning, Some(Kind::TargetLeftBehind)));
    let target = Some(TargetDistance { weights: 0.05, projections: 0.01 });
    let following = Evidence { target, ..evidence }.diagnose();
    assert_eq!((following.level, following.kind), (Level::Healthy, None));
}

#[test]
fn identical_whitened_views_correlate_as_the_identity() {
    // Columns of a Hadamard matrix but the constant one.
    let hadamard = |i: u32, j: u32| if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
    let white: Vec<f32> = (0..32).flat_map(|i| (1..8).map(move |j| hadamard(i % 8, j))).collect();
    let p = PairSignals::of(&features(white.clone(), 7), &features(white, 7)).unwrap();
    let identity = (0..49).map(|k| f32::from(u8::from(k % 8 == 0)));
    assert!(p.cross_correlation.iter().zip(identity).all(|(c, i)| (c - i).abs() < 1e-6));
    assert!(p.on_diagonal < 1e-12 && p.off_diagonal < 1e-12 && p.alignment == 0.0);
}

#[test]
fn views_of_one_point_are_complete_collapse_by_alignment_and_uniformity() {
    let noisy =
        |offset| features(normal(64 * 8).iter().map(|v| 1.0 + 1e-4 * v + offset).collect(), 8);
    let pair = PairSignals::of(&noisy(0.0), &noisy(1e-5)).unwrap();
    let diagnosis = Evidence { pair: Some(&pair), ..Evidence::default() }.diagnose();
    assert_eq!(diagnosis.kind, Some(Kind::CompleteCollapse));
    assert!(diagnosis.findings[0].advice.is_some());
}

#[test]
fn repeated_dimensions_are_redundant_to_barlow_twins_and_no_fault_to_byol() {
    let repeat = features(normal(200).iter().flat_map(|v| [*v; 8]).collect(), 8);
    let pair = PairSignals::of(&repeat, &repeat).unwrap();
    let level =
        |trained| Evidence { trained: Some(trained), pair: Some(&pair), ..Evidence::default() };
    let diagnosis = level(Trained::BarlowTwins).diagnose();
    let headline = "redundant dimensions: any two dimensions correlate by 1.00 on average";
    assert_eq!((diagnosis.level, diagnosis.headline.as_str()), (Level::Warning, headline));
    assert!(diagnosis.findings[0].advice.as_ref().unwrap().contains("barlow_twins.lambda"));
    let byol = level(Trained::Byol).diagnose();
    assert_eq!(byol.level, Level::Healthy);
    assert!(byol.findings.iter().all(|f| !f.text.contains("redundant")), "{byol:#?}");
}

#[test]
fn byols_target_is_judged_by_its_distance() {
    let kind = |weights, projections| {
        let target = Some(TargetDistance { weights, projections });
        Evidence { target, ..Evidence::default() }.diagnose().kind
    };
    assert_eq!(kind(0.0, 0.0), Some(Kind::TargetEqualsOnline));
    assert_eq!(kind(0.05, 0.03), None);
    assert_eq!(kind(1.2, 0.98), Some(Kind::TargetLeftBehind));
    let distance = weight_distance([(&[3.0, 4.0][..], &[3.0, 3.0][..]), (&[0.0], &[0.0])]).unwrap();
    assert!((distance - 0.2).abs() < 1e-12);
    assert_eq!(weight_distance([]).unwrap(), 0.0);
    assert!(weight_distance([(&[1.0, 2.0][..], &[1.0][..])]).is_err());
    assert!(weight_distance([(&[f32::NAN][..], &[1.0][..])]).is_err());
}

#[test]
fn a_fall_of_rank_against_the_untrained_features_is_said() {
    let (wide, narrow) = (features(normal(500 * 64), 64), rank(20, 500, 64));
    let (wide, narrow) = (Spread::of(&wide).unwrap(), Spread::of(&narrow).unwrap());
    let with = |now, before| {
        let (features, untrained_features) = (Some(now), Some(before));
        Evidence { features, untrained_features, ..Evidence::default() }.diagnose()
    };
    let lost = with(&narrow, &wide);
    assert_eq!(lost.kind, Some(Kind::LostDirections));
    let headline = "directions were lost in training: effective rank of the centred features";
    assert!(lost.headline.starts_with(headline), "{}", lost.headline);
    assert!(lost.headline.ends_with(" untrained)"), "{}", lost.headline);
    assert_eq!(with(&wide, &narrow).level, Level::Healthy);
    assert_eq!(with(&narrow, &narrow).level, Level::Healthy);
}

#[test]
fn a_diagnosis_survives_json() {
    let diagnosis = verdict(&rank(12, 1000, 256));
    let json = serde_json::to_string(&diagnosis).unwrap();
    assert!(
        json.contains(r#""kind":{"name":"dimensional-collapse","used":12,"of":256}"#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<Diagnosis>(&json).unwrap(), diagnosis);
}

fn sample() -> impl Strategy<Value = (usize, usize, u32)> {
    (2usize..40, 1usize..12, any::<u32>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn measures_stay_in_their_bounds((rows, dim, seed) in sample()) {
        let a = features(uniform(rows * dim, seed), dim);
        let b = features(uniform(rows * dim, seed ^ 0x5555), dim);
        let s = Spread::of(&a).unwrap();
        let most = rows.min(dim) as f64 + 1e-9;
        for rank in [s.effective_rank, s.centred_effective_rank, s.participation] {
            prop_assert!((1.0 - 1e-9..=most).contains(&rank), "{s:?}");
        }
        prop_assert!(s.directions <= s.most_directions() && s.spectrum.len() == s.most_directions());
        for share in [s.spread, s.raw_spread, s.mean_std] {
            prop_assert!((0.0..=1.0 + 1e-9).contains(&share), "{s:?}");
        }
        let p = PairSignals::of(&a, &b).unwrap();
        prop_assert!((0.0..=4.0 + 1e-9).contains(&p.alignment));
        prop_assert!((-8.0..=0.0).contains(&p.uniformity));
        prop_assert!(p.cross_correlation.iter().all(|c| (-1.0..=1.0).contains(c)));
        prop_assert!((0.0..=2.0).contains(&projection_distance(&a, &b).unwrap()));
    }

    #[test]
    fn order_scale_and_rotation_of_the_rows_do_not_matter((rows, dim, seed) in sample(), scale in 0.1f32..10.0) {
        let a = features(uniform(rows * dim, seed), dim);
        let s = Spread::of(&a).unwrap();
        // A reflection in the hyperplane across v, rows in reverse.
        let v: Vec<f64> = uniform(dim, seed ^ 0xffff).iter().map(|v| f64::from(*v) + 0.6).collect();
        let square: f64 = v.iter().map(|v| v * v).sum();
        let rows: Vec<Vec<f32>> = a.iter().map(|row| {
            let along: f64 = row.iter().zip(&v).map(|(x, v)| f64::from(*x) * v).sum();
            row.iter().zip(&v).map(|(x, v)| scale * (f64::from(*x) - 2.0 * along / square * v) as f32).collect()
        }).collect();
        let turned = Spread::of(&features(rows.into_iter().rev().flatten().collect(), dim)).unwrap();
        // The root of a rounded eigenvalue is not small.
        let near = |a: f64, b: f64| (a - b).abs() < 1e-3 * (1.0 + b.abs());
        prop_assert!(near(turned.effective_rank, s.effective_rank));
        prop_assert!(near(turned.centred_effective_rank, s.centred_effective_rank));
        prop_assert!(near(turned.participation, s.participation));
        prop_assert!(near(turned.spread, s.spread) && near(turned.raw_spread, s.raw_spread));
        for (t, s) in turned.spectrum.iter().zip(&s.spectrum) {
            prop_assert!(near(*t / f64::from(scale), *s), "{t} {s}");
        }
    }

    #[test]
    fn correlations_ignore_scale_and_shift_and_the_measures_of_a_pair_are_symmetric((rows, dim, seed) in sample()) {
        let a = uniform(rows * dim, seed);
        let b = features(uniform(rows * dim, seed ^ 0x5555), dim);
        let moved = features(a.iter().map(|v| 4.0 * v + 1.0).collect(), dim);
        let a = features(a, dim);
        let (p, m, q) = (PairSignals::of(&a, &b).unwrap(), PairSignals::of(&moved, &b).unwrap(), PairSignals::of(&b, &a).unwrap());
        for (x, y) in p.cross_correlation.iter().zip(&m.cross_correlation) {
            prop_assert!((x - y).abs() < 1e-3);
        }
        prop_assert!((p.alignment - q.alignment).abs() < 1e-12 && (p.uniformity - q.uniformity).abs() < 1e-6);
        prop_assert!((p.off_diagonal - q.off_diagonal).abs() < 1e-6);
    }
}
