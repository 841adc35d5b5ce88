//! The changes of `ablate` to a method, one at a time.

use selfsame_trainers::{Ablation, AblationGroup};

use crate::settings::RunConfig;

/// The complete method, among its ablations.
pub const AS_IT_IS: &str = "as it is";

/// All changes for a run with these settings.
pub fn variants(config: &RunConfig) -> Vec<Ablation> {
    let mut all = config.settings.ablations();
    all.extend(augmentations(config));
    all
}

/// Each augmentation that is on, switched off.
fn augmentations(config: &RunConfig) -> Vec<Ablation> {
    let views = &config.views;
    let jitter = views.jitter_probability > 0.0;
    let colour = jitter && (views.saturation > 0.0 || views.hue > 0.0);
    let blur = views.blur_probability.unwrap_or_default();
    let all = [
        (
            views.crop_scale[0] < 1.0,
            "no crop",
            vec![("views.crop_scale", "[1.0, 1.0]"), ("views.crop_ratio", "[1.0, 1.0]")],
        ),
        (views.flip_probability > 0.0, "no flip", vec![("views.flip_probability", "0.0")]),
        (
            jitter && (views.brightness > 0.0 || views.contrast > 0.0),
            "no brightness or contrast jitter",
            vec![("views.brightness", "0.0"), ("views.contrast", "0.0")],
        ),
        (
            colour,
            "no saturation or hue jitter",
            vec![("views.saturation", "0.0"), ("views.hue", "0.0")],
        ),
        (
            views.grayscale_probability > 0.0,
            "no grayscale",
            vec![("views.grayscale_probability", "0.0")],
        ),
        (blur != [0.0; 2], "no blur", vec![("views.blur_probability", "[0.0, 0.0]")]),
        (
            views.solarize_probability != [0.0; 2],
            "no solarisation",
            vec![("views.solarize_probability", "[0.0, 0.0]")],
        ),
    ];
    let on = all.into_iter().filter(|(on, ..)| *on);
    on.map(|(_, label, set)| Ablation::new(AblationGroup::Augmentation, label, set)).collect()
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
