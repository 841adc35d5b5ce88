use selfsame_tests::extremes;

#[test]
fn losses_in_extreme_conditions() {
    extremes::compare(include_str!("../../reference/extremes.json"), "simd");
}
