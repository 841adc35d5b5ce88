use selfsame_eval::{Features, Knn, Labelled, LinearProbe, Probe};
use selfsame_tests::fidelity::Item;
use selfsame_tests::inputs::{noise, reference, unit};

const CLASSES: usize = 10;
const DIM: usize = 24;

/// Class centres plus noise, rows of different lengths; labels 0, 1, …, 9, 0, ….
fn features(seed: u64, rows: usize) -> Labelled {
    let centres = noise(700, CLASSES * DIM, 0.5, 0.0);
    let lengths = unit(seed + 1, rows);
    let values = noise(seed, rows * DIM, 1.0, 0.0)
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let (row, dim) = (i / DIM, i % DIM);
            (v + centres[row % CLASSES * DIM + dim]) * (lengths[row] + 0.5)
        })
        .collect();
    let labels: Vec<_> = (0..rows).map(|row| Some((row % CLASSES) as u32)).collect();
    Labelled::new(&Features::new(values, rows, DIM).unwrap(), &labels).unwrap()
}

fn disagreements(ours: &[u32], expected: &[f32]) -> usize {
    assert_eq!(ours.len(), expected.len());
    ours.iter().zip(expected).filter(|(o, e)| **o != **e as u32).count()
}

#[test]
fn knn_prediction_by_prediction() {
    let reference = reference("evaluation");
    let (bank, queries) = (features(701, 2000), features(703, 500));
    let mut item =
        Item::new("weighted k-NN, share of other predictions", "lightly `knn_predict`", 0.0);
    for (k, temperature) in [(1, 0.1), (5, 0.5), (20, 0.07), (200, 0.1), (2000, 0.02)] {
        let ours = Knn { k, temperature }.predict(&bank, &queries.features).unwrap();
        let expected = &reference[&format!("knn/{k}/{temperature}")].values;
        let share = disagreements(&ours, expected) as f64 / 500.0;
        item.record(&format!("k = {k}, T = {temperature}"), share);
    }
    item.finish();
}

#[test]
fn linear_probe() {
    let reference = reference("evaluation");
    let (bank, queries) = (features(701, 2000), features(703, 500));
    let mut item =
        Item::new("linear probe, accuracy apart", "scikit-learn `LogisticRegression`", 5e-3);
    for c in [1e-3, 1e-1, 1.0] {
        let probe = LinearProbe { c: vec![c], ..LinearProbe::default() };
        let ours = probe.score(&bank, &queries).unwrap().top1;
        let expected = &reference[&format!("logistic/{c}")].values;
        let right = expected.iter().zip(&queries.labels).filter(|(e, l)| **e as u32 == **l);
        item.record(&format!("C = {c}"), (ours - right.count() as f64 / 500.0).abs());
    }
    item.finish();
}
