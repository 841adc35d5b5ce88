//! One verdict from many findings: their order, early runs, chance, and advice without
//! contradictions.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const ALL: [Trained; 9] = [
    Trained::Byol,
    Trained::BarlowTwins,
    Trained::SimClr,
    Trained::MocoV3,
    Trained::SimSiam,
    Trained::VicReg,
    Trained::WMse,
    Trained::Dino,
    Trained::LeJepa,
];

/// 512 healthy embeddings.
fn wide(dim: usize) -> Spread {
    Spread {
        rows: 512,
        dim,
        std: vec![0.5; dim],
        mean_std: 0.5,
        spread: 0.25,
        raw_spread: 0.25,
        dead: Vec::new(),
        spectrum: vec![1.0; dim],
        directions: dim,
        participation: dim as f64,
        effective_rank: dim as f64 / 2.0,
        centred_effective_rank: dim as f64,
    }
}

fn pair() -> PairSignals {
    PairSignals {
        rows: 512,
        dim: 128,
        alignment: 0.4,
        uniformity: -1.5,
        cross_correlation: Vec::new(),
        on_diagonal: 30.0,
        off_diagonal: 400.0,
        mean_diagonal: 0.6,
        mean_off_diagonal: 0.2,
    }
}

fn predictor(participation: f64) -> PredictorSpectrum {
    PredictorSpectrum {
        singular_values: vec![1.0; 128],
        largest: 1.0,
        effective_rank: participation,
        participation,
        explained: None,
    }
}

fn after(steps: u64, full_steps: f64) -> Training {
    Training { steps, full_steps, ended: true, tau: Some(0.99) }
}

fn knn(trained: f64, untrained: f64, images: usize) -> Option<KnnGain> {
    Some(KnnGain { trained, untrained, images })
}

fn found(diagnosis: &Diagnosis, wanted: impl Fn(&Kind) -> bool) -> &Finding {
    let mut found = diagnosis.findings.iter().filter(|f| f.kind.as_ref().is_some_and(&wanted));
    found.next().unwrap_or_else(|| panic!("{diagnosis:#?}"))
}

#[test]
fn better_and_worse_than_untrained_are_beyond_chance() {
    let verdict = |trained, untrained, images| {
        Evidence { knn: knn(trained, untrained, images), ..Evidence::default() }.diagnose()
    };
    let said = |trained, untrained, images| {
        let diagnosis = verdict(trained, untrained, images);
        (diagnosis.level, diagnosis.kind, diagnosis.headline)
    };
    let (level, kind, headline) = said(0.55, 0.66, 2000);
    assert_eq!((level, kind), (Level::Warning, Some(Kind::WorseThanUntrained)));
    assert_eq!(headline, "worse than untrained: k-NN 55.0 %, 66.0 % untrained");
    assert_eq!(verdict(0.79, 0.702, 2000).level, Level::Healthy);
    for trained in [0.701, 0.702, 0.703, 0.69, 0.715] {
        let (level, kind, headline) = said(trained, 0.702, 2000);
        assert_eq!((level, kind), (Level::Warning, Some(Kind::NothingLearnt)), "{trained}");
        assert!(
            headline.starts_with("not better than untrained beyond chance: k-NN"),
            "{headline}"
        );
        assert!(headline.ends_with("(chance is ±2.8 points on 2000 images)"), "{headline}");
    }
    // A tenth of a point is something to a million images.
    assert_eq!(verdict(0.704, 0.702, 1_000_000).level, Level::Healthy);
    assert_eq!(verdict(0.700, 0.702, 1_000_000).kind, Some(Kind::WorseThanUntrained));
    // One image of two is nothing, and neither are both.
    for (trained, untrained) in [(1.0, 0.0), (0.0, 1.0), (0.5, 1.0), (0.5, 0.5)] {
        let (level, kind, headline) = said(trained, untrained, 2);
        assert_eq!((level, kind), (Level::Unknown, Some(Kind::TooFewTestImages { images: 2 })));
        assert!(headline.contains("too few test images"), "{headline}");
    }
}

#[test]
fn what_training_did_to_the_features_comes_before_mechanisms() {
    let (features, narrow) = (wide(64), Spread { directions: 5, ..wide(128) });
    let copied = Some(TargetDistance { weights: 0.0, projections: 0.0 });
    let evidence = Evidence {
        trained: Some(Trained::Byol),
        features: Some(&features),
        projections: Some(&narrow),
        target: copied,
        knn: knn(0.55, 0.66, 2000),
        ..Evidence::default()
    };
    let diagnosis = evidence.diagnose();
    assert_eq!(diagnosis.headline, "worse than untrained: k-NN 55.0 %, 66.0 % untrained");
    found(&diagnosis, |kind| *kind == Kind::TargetEqualsOnline);
    // Without labels: 1,000 photographs under the default BYOL.
    let before = Spread { centred_effective_rank: 27.9, ..wide(64) };
    let lost = Spread { centred_effective_rank: 9.9, ..wide(64) };
    let unlabelled = Evidence {
        features: Some(&lost),
        untrained_features: Some(&before),
        knn: None,
        ..evidence
    };
    let headline = "directions were lost in training: effective rank of the centred features 9.9 \
                    (27.9 untrained)";
    assert_eq!(unlabelled.diagnose().headline, headline);
    // Both: k-NN is the plainer word.
    let both = Evidence { knn: evidence.knn, ..unlabelled };
    assert_eq!(both.diagnose().kind, Some(Kind::WorseThanUntrained));
    // A collapse explains it all.
    let point = Spread { spread: 1e-5, raw_spread: 1e-5, ..wide(128) };
    let collapsed = Evidence { projections: Some(&point), ..both }.diagnose();
    assert_eq!((collapsed.level, collapsed.kind), (Level::Collapsed, Some(Kind::CompleteCollapse)));
    // And one point is worse than few directions.
    let line = Spread { directions: 1, ..wide(64) };
    let collapsed =
        Evidence { projections: Some(&point), features: Some(&line), ..both }.diagnose();
    assert_eq!(collapsed.kind, Some(Kind::CompleteCollapse));
}

#[test]
fn fewer_directions_with_better_neighbours_are_a_trade() {
    let before = Spread { centred_effective_rank: 20.9, ..wide(32) };
    let now = Spread { centred_effective_rank: 4.9, ..wide(32) };
    let evidence = Evidence {
        features: Some(&now),
        untrained_features: Some(&before),
        knn: knn(0.526, 0.424, 1000),
        ..Evidence::default()
    };
    let diagnosis = evidence.diagnose();
    assert_eq!((diagnosis.level, diagnosis.kind), (Level::Warning, Some(Kind::TradedDirections)));
    let headline = "fewer directions, though better k-NN: effective rank of the centred features 4.9 \
                    (20.9 untrained)";
    assert_eq!(diagnosis.headline, headline);
    let equal = Evidence { knn: knn(0.43, 0.424, 1000), ..evidence }.diagnose();
    assert_eq!(equal.kind, Some(Kind::LostDirections));
}

#[test]
fn no_collapse_is_said_with_figures_beside_the_untrained_ones() {
    let before = Spread { centred_effective_rank: 21.4, ..wide(64) };
    let now = Spread { centred_effective_rank: 17.1, directions: 44, ..wide(64) };
    let diagnosis =
        Evidence { features: Some(&now), untrained_features: Some(&before), ..Evidence::default() }
            .diagnose();
    let headline = "no collapse: 44 of 64 directions used, effective rank of the centred features 17.1 (21.4 untrained)";
    assert_eq!((diagnosis.level, diagnosis.headline.as_str()), (Level::Healthy, headline));
    let nothing = Evidence::default().diagnose();
    assert_eq!(
        (nothing.level, nothing.headline.as_str()),
        (Level::Unknown, "nothing was measured")
    );
}

/// A run of one step: a copied target, and k-NN below the untrained encoder's.
#[test]
fn one_step_at_a_learning_rate_of_0_says_nothing() {
    let (features, projections, pair) = (wide(64), wide(128), pair());
    let predictor = predictor(1.02);
    let evidence = Evidence {
        trained: Some(Trained::Byol),
        features: Some(&features),
        projections: Some(&projections),
        pair: Some(&pair),
        predictor: Some(&predictor),
        target: Some(TargetDistance { weights: 3e-8, projections: 0.0 }),
        knn: knn(0.55, 0.66, 2000),
        training: Some(after(1, 0.0)),
        ..Evidence::default()
    };
    let diagnosis = evidence.diagnose();
    assert_eq!(
        (diagnosis.level, diagnosis.kind),
        (Level::Unknown, Some(Kind::TooEarly { steps: 1 }))
    );
    let headline = "too early to judge: 1 step, at a learning rate of 0, so that only the statistics of batch norm have changed";
    assert_eq!(diagnosis.headline, headline);
    assert!(diagnosis.findings[0].advice.as_ref().unwrap().contains("train.epochs"));
    let texts: Vec<&str> = diagnosis.findings.iter().map(|f| f.text.as_str()).collect();
    assert!(texts.iter().all(|t| !t.contains("target") && !t.contains("worse")), "{texts:?}");
    assert!(texts.contains(&"k-NN 55.0 %, 66.0 % untrained"), "{texts:?}");

    let headline = |steps, full_steps| {
        Evidence { training: Some(after(steps, full_steps)), ..evidence }.diagnose().headline
    };
    assert_eq!(headline(32, 20.0), "too early to judge: 32 steps, and 44 are needed");
    let warming =
        "too early to judge: 60 steps, worth 0.4 at the full learning rate, and 10 are needed";
    assert_eq!(headline(60, 0.36), warming);
    assert!(headline(44, 20.0).starts_with("worse than untrained"));
}

#[test]
fn a_complete_collapse_is_said_early_where_training_made_it() {
    let (before, point) = (wide(128), Spread { spread: 1e-5, raw_spread: 1e-5, ..wide(128) });
    let evidence = Evidence {
        projections: Some(&point),
        untrained_projections: Some(&before),
        training: Some(after(20, 12.0)),
        ..Evidence::default()
    };
    assert_eq!(evidence.diagnose().level, Level::Collapsed);
    // Wait for an encoder that began as a point, for a narrow one, and for one with an unknown
    // beginning.
    let began = Evidence { untrained_projections: Some(&point), ..evidence };
    assert_eq!(began.diagnose().kind, Some(Kind::TooEarly { steps: 20 }));
    let unknown = Evidence { untrained_projections: None, ..evidence };
    assert_eq!(unknown.diagnose().kind, Some(Kind::TooEarly { steps: 20 }));
    let line = Spread { directions: 1, ..wide(128) };
    let narrow = Evidence { projections: Some(&line), ..evidence };
    assert_eq!(narrow.diagnose().kind, Some(Kind::TooEarly { steps: 20 }));
}

/// Longer training does not cure a collapse.
#[test]
fn a_collapse_is_cured_before_what_comes_of_it() {
    let point = Spread { spread: 1e-5, raw_spread: 1e-5, ..wide(128) };
    let worse = Evidence {
        knn: knn(0.55, 0.66, 2000),
        training: Some(after(500, 400.0)),
        ..Evidence::default()
    };
    let is_worse = |kind: &Kind| *kind == Kind::WorseThanUntrained;
    assert!(found(&worse.diagnose(), is_worse).advice.is_some());
    let collapsed = Evidence { projections: Some(&point), ..worse }.diagnose();
    assert_eq!(collapsed.level, Level::Collapsed);
    assert!(collapsed.findings[0].advice.is_some());
    assert_eq!(found(&collapsed, is_worse).advice, None);
}

#[test]
fn a_target_is_judged_by_its_own_pace() {
    let kind = |weights, projections, training| {
        let target = Some(TargetDistance { weights, projections });
        let diagnosis = Evidence { target, training, ..Evidence::default() }.diagnose();
        (diagnosis.level, diagnosis.kind)
    };
    let at = |steps, ended, tau| {
        Some(Training { steps, full_steps: steps as f64, ended, tau: Some(tau) })
    };
    let copied = (Level::Warning, Some(Kind::TargetEqualsOnline));
    assert_eq!(kind(0.0, 0.0, at(500, true, 0.0)), copied);
    // With τ > 0 it has caught up with a network that no longer moves: the end of every schedule.
    assert_eq!(kind(1e-8, 0.0, at(500, true, 0.5)), (Level::Healthy, None));
    // 1 / (1 − τ) steps.
    let behind = Some(Kind::TargetLeftBehind);
    assert_eq!(kind(0.5, 0.99, at(100, false, 0.996)), (Level::Unknown, behind));
    assert_eq!(kind(0.5, 0.99, at(300, false, 0.996)), (Level::Warning, behind));
    assert_eq!(kind(0.5, 0.99, at(100, true, 0.996)), (Level::Warning, behind));
    assert_eq!(kind(0.5, 0.99, at(100, false, 1.0)), (Level::Warning, behind));
}

#[test]
fn the_same_few_images_are_said_once() {
    let (features, projections) = (Spread { rows: 6, ..wide(64) }, Spread { rows: 6, ..wide(128) });
    let pair = PairSignals { rows: 6, ..pair() };
    let diagnosis = Evidence {
        features: Some(&features),
        projections: Some(&projections),
        pair: Some(&pair),
        ..Evidence::default()
    }
    .diagnose();
    let headline = "too few images to tell how embeddings differ: 6, and 8 are needed \
                    (features, projections, views)";
    assert_eq!((diagnosis.headline.as_str(), diagnosis.findings.len()), (headline, 1));
}

#[test]
fn views_that_disagree_are_not_to_be_strengthened() {
    let (features, pair) = (wide(64), PairSignals { mean_diagonal: 0.05, ..pair() });
    let evidence = Evidence {
        trained: Some(Trained::Byol),
        features: Some(&features),
        knn: knn(0.55, 0.66, 2000),
        ..Evidence::default()
    };
    let advice = |evidence: Evidence<'_>| {
        let findings = evidence.diagnose().findings;
        findings.into_iter().filter_map(|f| f.advice).collect::<Vec<_>>().join("; ")
    };
    assert!(advice(evidence).contains("strengthen the views"));
    let disagreeing = advice(Evidence { pair: Some(&pair), ..evidence });
    assert!(!disagreeing.contains("strengthen") && disagreeing.contains("weaken the views"));
}

/// The settings after "raise", "lower" and "set", with the word.
fn turned(advice: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut word = "";
    for token in advice.split_whitespace() {
        let token = token.trim_matches([',', ';', ':', '(', ')', '.']);
        match token {
            "raise" | "lower" | "set" => word = token,
            setting if setting.contains('.') && setting.contains(char::is_alphabetic) => {
                all.push((setting.to_owned(), word.to_owned()));
            }
            _ => {}
        }
    }
    all
}

fn kinds() -> Vec<Kind> {
    vec![
        Kind::CompleteCollapse,
        Kind::DimensionalCollapse { used: 1, of: 64 },
        Kind::WorseThanUntrained,
        Kind::LostDirections,
        Kind::NothingLearnt,
        Kind::TradedDirections,
        Kind::NarrowProjections { used: 1, of: 64 },
        Kind::SmallDifferences,
        Kind::DeadDimensions { dead: 1, of: 64 },
        Kind::Redundant,
        Kind::ViewsDisagree,
        Kind::NarrowPredictor,
        Kind::TargetEqualsOnline,
        Kind::TargetLeftBehind,
        Kind::TooEarly { steps: 1 },
        Kind::TooFewImages { images: 1 },
        Kind::TooFewTestImages { images: 1 },
    ]
}

#[test]
fn advice_names_settings_of_the_method_and_a_direction() {
    let sections: Vec<&str> = ALL.iter().map(|trained| trained.section()).collect();
    for trained in ALL {
        for kind in kinds() {
            if kind == Kind::Redundant && !trained.decorrelates() {
                continue;
            }
            let actions = advice::of(kind, Some(trained));
            assert!(!actions.is_empty(), "{kind:?} of {trained:?}");
            for action in actions {
                let turned = turned(&action.text);
                assert!(!turned.is_empty(), "{} of {trained:?} turns nothing", action.text);
                for (setting, word) in turned {
                    assert!(!word.is_empty(), "{}: no direction", action.text);
                    let section = setting.split('.').next().unwrap();
                    let foreign = sections.contains(&section) && section != trained.section();
                    assert!(!foreign, "{setting} in advice on {trained:?}");
                }
            }
        }
    }
}

/// Any measures, healthy or not.
#[derive(Debug, Clone)]
struct Drawn {
    trained: Option<Trained>,
    training: Option<Training>,
    spreads: [Option<Spread>; 4],
    pair: Option<PairSignals>,
    predictor: Option<PredictorSpectrum>,
    target: Option<TargetDistance>,
    knn: Option<KnnGain>,
}

impl Drawn {
    fn diagnose(&self) -> Diagnosis {
        let [features, projections, untrained_features, untrained_projections] =
            self.spreads.each_ref().map(Option::as_ref);
        Evidence {
            trained: self.trained,
            training: self.training,
            features,
            projections,
            untrained_features,
            untrained_projections,
            pair: self.pair.as_ref(),
            predictor: self.predictor.as_ref(),
            target: self.target,
            knn: self.knn,
        }
        .diagnose()
    }
}

/// Powers of ten, so that both sides of every threshold occur.
fn size() -> impl Strategy<Value = f64> {
    (-6.0f64..0.0).prop_map(|exponent| 10f64.powf(exponent))
}

fn spread() -> impl Strategy<Value = Spread> {
    let rows = prop_oneof![2usize..64, Just(512usize)];
    (rows, 2usize..130, size(), 0f64..=1.0, 0f64..=1.0, 0f64..0.3).prop_map(
        |(rows, dim, spread, used, kept, dead)| {
            let of = dim.min(rows - 1);
            Spread {
                rows,
                spread,
                raw_spread: spread,
                directions: (used * of as f64).round() as usize,
                centred_effective_rank: 1.0 + kept * (of as f64 - 1.0),
                dead: (0..(dead * dim as f64) as usize).collect(),
                ..wide(dim)
            }
        },
    )
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let fraction = || 0f64..=1.0;
    let training = (0u64..400, fraction(), any::<bool>(), prop::option::of(fraction()));
    let training = training.prop_map(|(steps, full, ended, tau)| Training {
        steps,
        full_steps: full * steps as f64,
        ended,
        tau,
    });
    let pair = (2usize..600, size(), 0f64..4.0, -0.2f64..1.0, fraction()).prop_map(
        |(rows, crowded, alignment, mean_diagonal, mean_off_diagonal)| PairSignals {
            rows,
            uniformity: -4.0 * crowded,
            alignment,
            mean_diagonal,
            mean_off_diagonal,
            ..pair()
        },
    );
    let target = (prop_oneof![Just(0.0), size()], fraction())
        .prop_map(|(weights, projections)| TargetDistance { weights, projections });
    let knn = (fraction(), fraction(), 1usize..5000)
        .prop_map(|(trained, untrained, images)| KnnGain { trained, untrained, images });
    (
        prop::option::of(prop::sample::select(ALL.to_vec())),
        prop::option::of(training),
        prop::array::uniform4(prop::option::of(spread())),
        prop::option::of(pair),
        prop::option::of((1f64..4.0).prop_map(predictor)),
        prop::option::of(target),
        prop::option::of(knn),
    )
        .prop_map(|(trained, training, spreads, pair, predictor, target, knn)| Drawn {
            trained,
            training,
            spreads,
            pair,
            predictor,
            target,
            knn,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_verdict_is_that_of_the_worst_finding(drawn in drawn()) {
        let diagnosis = drawn.diagnose();
        let worst = diagnosis.findings.iter().map(|f| f.level).max();
        prop_assert_eq!(diagnosis.level, worst.unwrap_or(Level::Unknown));
        if let Some(first) = diagnosis.findings.first() {
            prop_assert_eq!(diagnosis.kind, first.kind);
            match diagnosis.level {
                Level::Healthy => prop_assert!(diagnosis.headline.starts_with("no collapse: ")),
                _ => prop_assert_eq!(&diagnosis.headline, &first.text),
            }
        }
    }

    #[test]
    fn healthy_is_what_is_within_its_threshold(drawn in drawn()) {
        for finding in drawn.diagnose().findings {
            let healthy = finding.level == Level::Healthy;
            prop_assert_eq!(healthy, finding.is_within(), "{:?}", finding);
            prop_assert!(!healthy || finding.kind.is_none(), "{:?}", finding);
            let nameless = finding.kind.is_none() && finding.level > Level::Unknown;
            prop_assert!(!nameless, "{:?}", finding);
            prop_assert!(!healthy || finding.advice.is_none(), "{:?}", finding);
        }
    }

    #[test]
    fn no_advice_is_repeated_or_contradicted(drawn in drawn()) {
        let diagnosis = drawn.diagnose();
        let advice: Vec<&str> =
            diagnosis.findings.iter().filter_map(|f| f.advice.as_deref()).collect();
        let actions: Vec<&str> = advice.iter().flat_map(|text| text.split("; ")).collect();
        prop_assert_eq!(actions.iter().collect::<BTreeSet<_>>().len(), actions.len(), "{:?}", actions);
        let mut settings = BTreeSet::new();
        for (setting, word) in advice.iter().flat_map(|text| turned(text)) {
            prop_assert!(settings.insert(setting.clone()), "{setting} twice ({word}): {actions:?}");
        }
        let views = ["strengthen the views", "weaken the views"];
        let both = views.iter().all(|which| actions.iter().any(|a| a.contains(which)));
        prop_assert!(!both, "{:?}", actions);
        // The finding in the headline comes with a cure, if there is one.
        if diagnosis.level >= Level::Warning {
            prop_assert!(diagnosis.findings[0].advice.is_some(), "{:?}", diagnosis);
        }
    }

    #[test]
    fn too_early_is_never_more_than_a_complete_collapse(drawn in drawn()) {
        let early = drawn.training.is_some_and(|t| {
            t.steps < thresholds::EARLY_STEPS || t.full_steps < thresholds::EARLY_FULL_STEPS
        });
        let diagnosis = drawn.diagnose();
        let found = diagnosis.findings.iter().any(|f| matches!(f.kind, Some(Kind::TooEarly { .. })));
        prop_assert_eq!(found, early, "{:?}", diagnosis);
        if early && diagnosis.level < Level::Collapsed {
            prop_assert!(matches!(diagnosis.kind, Some(Kind::TooEarly { .. })), "{:?}", diagnosis);
        }
    }
}
