//! The changes of `ablate` to a method, one at a time.

use crate::settings::MethodConfig;
use crate::settings::RunConfig;

/// A claim of a paper about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Embeddings fall into one point or few directions.
    Collapse,
    /// It works without.
    NoCollapse,
}

/// The settings with one thing changed.
#[derive(Debug, Clone)]
pub struct Variant {
    /// The group of the change. Each group has a chart.
    pub group: &'static str,
    pub label: String,
    /// The changed settings, as in `--set`.
    pub set: Vec<String>,
    /// The claim about it, and its source.
    pub expected: Option<(Expected, &'static str)>,
}

pub const AS_IT_IS: &str = "as it is";
const MECHANISM: &str = "mechanism";
const MOMENTUM: &str = "momentum";
const HEADS: &str = "heads";
const LOSS: &str = "loss";
const AUGMENTATION: &str = "augmentation";

/// Groups in the order of tables and charts.
pub const GROUPS: [&str; 5] = [MECHANISM, MOMENTUM, LOSS, HEADS, AUGMENTATION];

fn variant(group: &'static str, label: impl Into<String>, set: &[String]) -> Variant {
    Variant { group, label: label.into(), set: set.to_vec(), expected: None }
}

impl Variant {
    fn expect(self, what: Expected, source: &'static str) -> Self {
        Self { expected: Some((what, source)), ..self }
    }
}

fn setting(key: &str, value: impl std::fmt::Display) -> String {
    format!("{key}={value}")
}

/// All changes for a run with these settings.
pub fn variants(config: &RunConfig) -> Vec<Variant> {
    let mut all = mechanisms(&config.settings);
    all.extend(augmentations(config));
    all
}

fn mechanisms(settings: &MethodConfig) -> Vec<Variant> {
    match settings {
        MethodConfig::Byol(byol) => {
            let mut all = vec![
                variant(MECHANISM, "no predictor", &[setting("byol.predictor", false)])
                    .expect(Expected::Collapse, "Grill et al., 2020, table 5b"),
                variant(MECHANISM, "no stop-gradient", &[setting("byol.stop_gradient", false)])
                    .expect(Expected::Collapse, "Grill et al., 2020, table 5b"),
            ];
            all.extend([0.0, 0.5, 0.9, 0.99, 1.0].map(|tau| {
                let set = [setting("byol.tau_base", tau), setting("byol.tau_schedule", "constant")];
                // No expectation for τ = 0: BYOL's table 5a has 0.3 % for it, but SimSiam learns
                // without momentum.
                variant(MOMENTUM, format!("τ = {tau}"), &set)
            }));
            let heads = [byol.projector_hidden, byol.projector_dim].map(|width| width * 2);
            all.push(
                variant(HEADS, "no batch norm in the heads", &[setting("byol.head_norm", false)])
                    .expect(Expected::NoCollapse, "Richemond et al., 2020"),
            );
            all.push(variant(
                HEADS,
                "heads twice as wide",
                &[
                    setting("byol.projector_hidden", heads[0]),
                    setting("byol.predictor_hidden", heads[0]),
                    setting("byol.projector_dim", heads[1]),
                ],
            ));
            all
        }
        MethodConfig::BarlowTwins(barlow) => {
            let projector = |factor: f64| {
                let widths =
                    barlow.projector.iter().map(|w| ((*w as f64 * factor) as usize).max(1));
                setting("barlow_twins.projector", format!("{:?}", widths.collect::<Vec<_>>()))
            };
            let lambda = |factor: f64| setting("barlow_twins.lambda", barlow.lambda * factor);
            let last = barlow.projector.last().copied().unwrap_or(1);
            vec![
                variant(MECHANISM, "λ = 0", &[setting("barlow_twins.lambda", "0.0")])
                    .expect(Expected::NoCollapse, "Zbontar et al., 2021, table 5"),
                variant(
                    MECHANISM,
                    "no standardisation",
                    &[setting("barlow_twins.standardize", false)],
                ),
                variant(LOSS, "λ / 10", &[lambda(0.1)]),
                variant(LOSS, "λ × 10", &[lambda(10.0)]),
                variant(LOSS, "λ × 100", &[lambda(100.0)]),
                variant(
                    HEADS,
                    "one layer as projector",
                    &[setting("barlow_twins.projector", format!("[{last}]"))],
                ),
                variant(HEADS, "projector half as wide", &[projector(0.5)]),
                variant(HEADS, "projector four times as wide", &[projector(4.0)]),
                variant(
                    HEADS,
                    "no batch norm in the projector",
                    &[setting("barlow_twins.head_norm", false)],
                )
                .expect(Expected::NoCollapse, "Zbontar et al., 2021, table 5"),
            ]
        }
        MethodConfig::SimSiam(_) => vec![
            variant(MECHANISM, "no predictor", &[setting("simsiam.predictor", false)])
                .expect(Expected::Collapse, "Chen & He, 2021, section 4.2"),
            variant(MECHANISM, "no stop-gradient", &[setting("simsiam.stop_gradient", false)])
                .expect(Expected::Collapse, "Chen & He, 2021, section 4.1"),
        ],
        MethodConfig::VicReg(_) => vec![
            variant(MECHANISM, "no variance term", &[setting("vicreg.variance", "0.0")])
                .expect(Expected::Collapse, "Bardes et al., 2022, table 7"),
            variant(MECHANISM, "no covariance term", &[setting("vicreg.covariance", "0.0")])
                .expect(Expected::NoCollapse, "Bardes et al., 2022, table 7"),
            variant(MECHANISM, "no invariance term", &[setting("vicreg.invariance", "0.0")]),
        ],
        MethodConfig::SimClr(_) => [0.05, 0.1, 0.5, 1.0]
            .map(|t| variant(LOSS, format!("temperature {t}"), &[setting("simclr.temperature", t)]))
            .to_vec(),
        MethodConfig::MocoV3(_) => {
            let mut all = [0.0, 0.9, 0.99, 1.0]
                .map(|tau| {
                    let set = [
                        setting("moco_v3.tau_base", tau),
                        setting("moco_v3.tau_schedule", "constant"),
                    ];
                    variant(MOMENTUM, format!("τ = {tau}"), &set)
                })
                .to_vec();
            all.extend([0.1, 1.0].map(|t| {
                variant(LOSS, format!("temperature {t}"), &[setting("moco_v3.temperature", t)])
            }));
            all
        }
        MethodConfig::WMse(w_mse) => [4, 1]
            .map(|per_dim| {
                let images = (w_mse.projector_dim * per_dim).div_ceil(2) + 1;
                variant(
                    LOSS,
                    format!("{images} images in a slice"),
                    &[setting("w_mse.sub_batch", images)],
                )
            })
            .to_vec(),
        MethodConfig::Dino(dino) => vec![
            variant(MECHANISM, "no centring", &[setting("dino.center_momentum", "1.0")])
                .expect(Expected::Collapse, "Caron et al., 2021, section 5.3 and appendix D"),
            variant(
                MECHANISM,
                "no sharpening",
                &[
                    setting("dino.teacher_temperature", dino.student_temperature),
                    setting("dino.teacher_temperature_start", dino.student_temperature),
                ],
            )
            .expect(Expected::Collapse, "Caron et al., 2021, section 5.3 and appendix D"),
            variant(
                MOMENTUM,
                "τ = 0",
                &[setting("dino.tau_base", "0.0"), setting("dino.tau_schedule", "constant")],
            )
            .expect(Expected::Collapse, "Caron et al., 2021, table 7"),
        ],
        MethodConfig::LeJepa(_) => vec![
            variant(MECHANISM, "no SIGReg", &[setting("lejepa.lambda", "0.0")])
                .expect(Expected::Collapse, "Balestriero & LeCun, 2025, section 1"),
            variant(LOSS, "8 slices", &[setting("lejepa.slices", 8)]),
        ],
    }
}

/// Each augmentation that is on, switched off.
fn augmentations(config: &RunConfig) -> Vec<Variant> {
    let views = &config.views;
    let jitter = views.jitter_probability > 0.0;
    let colour = jitter && (views.saturation > 0.0 || views.hue > 0.0);
    let blur = views.blur_probability.unwrap_or_default();
    let all = [
        (
            views.crop_scale[0] < 1.0,
            "no crop",
            vec![
                setting("views.crop_scale", "[1.0, 1.0]"),
                setting("views.crop_ratio", "[1.0, 1.0]"),
            ],
        ),
        (views.flip_probability > 0.0, "no flip", vec![setting("views.flip_probability", "0.0")]),
        (
            jitter && (views.brightness > 0.0 || views.contrast > 0.0),
            "no brightness or contrast jitter",
            vec![setting("views.brightness", "0.0"), setting("views.contrast", "0.0")],
        ),
        (
            colour,
            "no saturation or hue jitter",
            vec![setting("views.saturation", "0.0"), setting("views.hue", "0.0")],
        ),
        (
            views.grayscale_probability > 0.0,
            "no grayscale",
            vec![setting("views.grayscale_probability", "0.0")],
        ),
        (blur != [0.0; 2], "no blur", vec![setting("views.blur_probability", "[0.0, 0.0]")]),
        (
            views.solarize_probability != [0.0; 2],
            "no solarisation",
            vec![setting("views.solarize_probability", "[0.0, 0.0]")],
        ),
    ];
    let on = all.into_iter().filter(|(on, ..)| *on);
    on.map(|(_, label, set)| variant(AUGMENTATION, label, &set)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Method;
    use crate::settings::Overrides;

    #[test]
    fn every_variant_is_a_valid_run_that_differs_from_the_others() {
        for method in Method::ALL {
            let config = Overrides::default().resolve(method).unwrap();
            let mut seen = vec![config.clone()];
            for variant in variants(&config) {
                let set = variant.set.clone();
                let own = Overrides { set, ..Overrides::default() }.resolve(method);
                let own = own.unwrap_or_else(|e| panic!("{}: {e:#}", variant.label));
                assert!(GROUPS.contains(&variant.group));
                assert!(!seen.contains(&own), "{}: as another", variant.label);
                seen.push(own);
            }
            assert!(seen.len() > 3, "{}", method.name());
        }
    }

    #[test]
    fn augmentations_that_are_off_are_not_taken_away() {
        let gray = Overrides::default().resolve(Method::Byol).unwrap();
        let labels = |config: &RunConfig| -> Vec<String> {
            augmentations(config).into_iter().map(|v| v.label).collect()
        };
        assert!(!labels(&gray).contains(&"no grayscale".into()));
        let dataset = Some("cifar10".into());
        let color = Overrides { dataset, ..Overrides::default() }.resolve(Method::Byol).unwrap();
        assert!(labels(&color).contains(&"no grayscale".into()));
    }
}
