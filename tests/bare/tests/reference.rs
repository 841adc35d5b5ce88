//! The losses against `tests/reference/extremes.json`, without Burn's feature `simd`.

#[path = "../../src/extremes.rs"]
mod extremes;
#[path = "../../src/noise.rs"]
mod noise;

#[test]
fn losses_in_extreme_conditions() {
    extremes::compare(include_str!("../../reference/extremes.json"), "bare");
}
