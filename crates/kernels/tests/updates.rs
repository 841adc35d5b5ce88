//! Updates of all parameters at once against their definitions in f64, over random lists of shapes
//! and orders in memory, on every device at hand.

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use selfsame_kernels::{
    AdamWJob, AdamWStep, AnyTensor, SgdJob, SgdStep, adamw_all, moving_average_all, not_finite,
    not_finite_values, sgd_all, update_norms_all,
};

fn devices() -> Vec<Device> {
    vec![
        Device::flex(),
        #[cfg(feature = "ndarray")]
        #[expect(deprecated, reason = "supported until Burn removes it")]
        Device::ndarray(),
        #[cfg(feature = "wgpu")]
        Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
    ]
}

/// A parameter and how its tensors lie in memory.
#[derive(Debug, Clone)]
struct Spec {
    shape: Vec<usize>,
    /// Whether weight, gradient and state are channels-last, or transposed.
    permuted: [bool; 3],
    /// Whether somebody else holds them in the first step.
    shared: bool,
    excluded: bool,
}

fn spec() -> impl Strategy<Value = Spec> {
    let shape = prop_oneof![
        1 => Just(vec![1]),
        1 => Just(vec![0]),
        1 => Just(vec![3, 0]),
        4 => prop::collection::vec(1..40usize, 1..=2),
        1 => prop::collection::vec(70..130usize, 2),
        4 => (1..12usize, 1..12usize, 1..4usize).prop_map(|(o, i, k)| vec![o, i, k, k]),
    ];
    let excluded = prop::bool::weighted(0.3);
    (shape, any::<[bool; 3]>(), prop::bool::weighted(0.2), excluded)
        .prop_map(|(shape, permuted, shared, excluded)| Spec { shape, permuted, shared, excluded })
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    prop_oneof![
        3 => prop::collection::vec(spec(), 1..8),
        1 => prop::collection::vec(spec(), 8..70),
    ]
}

/// Values in −1 … 1, the same for the same seed.
fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn elements(spec: &Spec) -> usize {
    spec.shape.iter().product()
}

/// These values, in this order in memory.
fn tensor(shape: &[usize], permuted: bool, values: &[f32], device: &Device) -> AnyTensor {
    let data = TensorData::new(values.to_vec(), shape.to_vec());
    if !permuted || values.is_empty() {
        return AnyTensor::from_data(data, device);
    }
    let host = Device::flex();
    match shape.len() {
        2 => {
            let turned = Tensor::<2>::from_data(data, &host).transpose().into_data();
            Tensor::<2>::from_data(turned, device).transpose().into()
        }
        4 => {
            let turned = Tensor::<4>::from_data(data, &host).permute([0, 2, 3, 1]).into_data();
            Tensor::<4>::from_data(turned, device).permute([0, 3, 1, 2]).into()
        }
        _ => AnyTensor::from_data(data, device),
    }
}

fn read(tensor: &AnyTensor) -> Vec<f32> {
    tensor.to_data().unwrap().try_into_vec().unwrap()
}

fn near(what: &str, got: &AnyTensor, shape: &[usize], expected: &[f64]) {
    assert_eq!(got.shape().as_slice(), shape, "{what}");
    let got = read(got);
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*got) - expected).abs();
        assert!(error <= 2e-6 * (1.0 + expected.abs()), "{what}[{i}]: {got}, {expected}");
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Two steps with scales for those that are not excluded, as LARS has them.
    #[test]
    fn sgd_steps_as_defined(
        specs in specs(),
        seed in any::<u64>(),
        momentum in prop_oneof![Just(0.0), Just(0.9)],
        nesterov in any::<bool>(),
        decay in prop_oneof![Just(0.0), Just(0.1)],
        scaled in any::<bool>(),
    ) {
        let step = SgdStep {
            momentum,
            nesterov: nesterov && momentum > 0.0,
            weight_decay: decay,
            learning_rate: 0.3,
        };
        let included = specs.iter().filter(|spec| !spec.excluded).count();
        let scales = values(seed ^ 1, included);
        for device in devices() {
            let mut w: Vec<Vec<f64>> = Vec::new();
            let mut v: Vec<Vec<f64>> = Vec::new();
            let mut state = Vec::new();
            for (i, spec) in specs.iter().enumerate() {
                let start = values(seed.wrapping_add(i as u64), elements(spec));
                state.push((tensor(&spec.shape, spec.permuted[0], &start, &device), None));
                w.push(wide(&start));
                v.push(vec![0.0; start.len()]);
            }
            for t in 0..2 {
                let mut held = Vec::new();
                let mut number = 0..;
                let mut jobs = Vec::new();
                for (i, spec) in specs.iter().enumerate() {
                    let g = values(seed.wrapping_add(1000 * (t + 1) + i as u64), elements(spec));
                    let (parameter, velocity): (AnyTensor, Option<AnyTensor>) = state[i].clone();
                    // A state that a checkpoint had.
                    let velocity = velocity
                        .map(|v| tensor(&spec.shape, spec.permuted[2], &read(&v), &device));
                    if spec.shared && t == 0 {
                        held.push(parameter.clone());
                    }
                    let scale = (!spec.excluded).then(|| number.next()).flatten();
                    let decay = if spec.excluded { 0.0 } else { decay };
                    let r = scale.filter(|_| scaled).map_or(1.0, |i: usize| f64::from(scales[i]));
                    for ((w, v), g) in w[i].iter_mut().zip(&mut v[i]).zip(&g) {
                        let g = r * (f64::from(*g) + decay * *w);
                        *v = if t == 0 { g } else { momentum * *v + g };
                        *w -= 0.3 * if step.nesterov { g + momentum * *v } else { *v };
                    }
                    jobs.push(SgdJob {
                        parameter,
                        gradient: tensor(&spec.shape, spec.permuted[1], &g, &device),
                        velocity,
                        scale: scale.filter(|_| scaled),
                        step: SgdStep { weight_decay: decay, ..step },
                    });
                }
                state.clear();
                let before: Vec<_> = held.iter().map(read).collect();
                let scales = (scaled && included > 0)
                    .then(|| Tensor::<1>::from_floats(&scales[..], &device));
                state = sgd_all(&device, jobs, scales);
                for (i, spec) in specs.iter().enumerate() {
                    near("w", &state[i].0, &spec.shape, &w[i]);
                    assert_eq!(state[i].1.is_some(), momentum > 0.0);
                    if let Some(velocity) = &state[i].1 {
                        near("v", velocity, &spec.shape, &v[i]);
                    }
                }
                // What somebody else holds stays as it is.
                let bits = |all: &[Vec<f32>]| -> Vec<Vec<u32>> {
                    all.iter().map(|x| x.iter().map(|x| x.to_bits()).collect()).collect()
                };
                let after: Vec<_> = held.iter().map(read).collect();
                assert_eq!(bits(&before), bits(&after));
            }
        }
    }

    #[test]
    fn adamw_steps_as_defined(specs in specs(), seed in any::<u64>()) {
        let step = AdamWStep {
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-3,
            weight_decay: 0.1,
            learning_rate: 0.05,
            t: 1,
        };
        for device in devices() {
            let mut expected: Vec<Vec<[f64; 3]>> = Vec::new();
            let mut state = Vec::new();
            for (i, spec) in specs.iter().enumerate() {
                let start = values(seed.wrapping_add(i as u64), elements(spec));
                state.push((tensor(&spec.shape, spec.permuted[0], &start, &device), None));
                expected.push(start.iter().map(|w| [f64::from(*w), 0.0, 0.0]).collect());
            }
            for t in 1..=3u64 {
                let mut jobs = Vec::new();
                for (i, spec) in specs.iter().enumerate() {
                    let g = values(seed.wrapping_add(1000 * t + i as u64), elements(spec));
                    let weight_decay = if spec.excluded { 0.0 } else { step.weight_decay };
                    for ([w, m, v], g) in expected[i].iter_mut().zip(&g) {
                        let g = f64::from(*g);
                        *m = 0.9 * *m + 0.1 * g;
                        *v = 0.95 * *v + 0.05 * g * g;
                        let m = *m / (1.0 - 0.9f64.powi(t as i32));
                        let v = *v / (1.0 - 0.95f64.powi(t as i32));
                        *w -= 0.05 * (weight_decay * *w + m / (v.sqrt() + 1e-3));
                    }
                    let (parameter, moments) = state[i].clone();
                    jobs.push(AdamWJob {
                        parameter,
                        gradient: tensor(&spec.shape, spec.permuted[1], &g, &device),
                        moments,
                        step: AdamWStep { weight_decay, t, ..step },
                    });
                }
                let new = adamw_all(&device, jobs);
                state = new.into_iter().map(|(w, moments)| (w, Some(moments))).collect();
                for (i, spec) in specs.iter().enumerate() {
                    let column = |c: usize| expected[i].iter().map(|x| x[c]).collect::<Vec<_>>();
                    near("w", &state[i].0, &spec.shape, &column(0));
                    let [m, v] = state[i].1.as_ref().unwrap();
                    near("m", m, &spec.shape, &column(1));
                    near("v", v, &spec.shape, &column(2));
                }
            }
        }
    }

    #[test]
    fn norms_are_those_of_each_parameter(specs in specs(), seed in any::<u64>()) {
        for device in devices() {
            let mut expected = [Vec::new(), Vec::new(), Vec::new()];
            let mut parameters = Vec::new();
            for (i, spec) in specs.iter().enumerate() {
                let [w, g] = [0, 1000].map(|j| values(seed.wrapping_add(i as u64 + j), elements(spec)));
                let decay = if spec.excluded { 0.0 } else { 0.3f32 };
                let decayed = w.iter().zip(&g).map(|(w, g)| f64::from(*g) + f64::from(decay) * f64::from(*w));
                expected[0].push(norm(wide(&w).into_iter()));
                expected[1].push(norm(wide(&g).into_iter()));
                expected[2].push(norm(decayed));
                parameters.push((
                    tensor(&spec.shape, spec.permuted[0], &w, &device),
                    tensor(&spec.shape, spec.permuted[1], &g, &device),
                    f64::from(decay),
                ));
            }
            let again = update_norms_all(&device, parameters.clone()).map(|t| read(&t.into()));
            let norms = update_norms_all(&device, parameters);
            for ((norm, expected), again) in norms.into_iter().zip(&expected).zip(again) {
                let norm = AnyTensor::from(norm);
                near("norm", &norm, &[specs.len()], expected);
                assert_eq!(read(&norm), again, "sums have a fixed order");
            }
        }
    }

    #[test]
    fn averages_move_as_defined(specs in specs(), seed in any::<u64>()) {
        for device in devices() {
            let mut expected: Vec<Vec<f64>> = Vec::new();
            let mut averages = Vec::new();
            for (i, spec) in specs.iter().enumerate() {
                let start = values(seed.wrapping_add(i as u64), elements(spec));
                averages.push(tensor(&spec.shape, spec.permuted[0], &start, &device));
                expected.push(wide(&start));
            }
            for t in 1..3 {
                let mut pairs = Vec::new();
                for (i, (spec, average)) in specs.iter().zip(averages).enumerate() {
                    let value = values(seed.wrapping_add(1000 * t + i as u64), elements(spec));
                    for (a, b) in expected[i].iter_mut().zip(&value) {
                        *a = 0.9 * *a + 0.1 * f64::from(*b);
                    }
                    pairs.push((average, tensor(&spec.shape, spec.permuted[1], &value, &device)));
                }
                averages = moving_average_all(&device, pairs, 0.9);
                for (i, spec) in specs.iter().enumerate() {
                    near("average", &averages[i], &spec.shape, &expected[i]);
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_found_anywhere(
        specs in specs(),
        seed in any::<u64>(),
        broken in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3usize), 0..4),
    ) {
        for device in devices() {
            let mut all: Vec<Vec<f32>> = specs
                .iter()
                .enumerate()
                .map(|(i, spec)| values(seed.wrapping_add(i as u64), elements(spec)))
                .collect();
            let mut first: Option<usize> = None;
            let mut kinds: Vec<Vec<u32>> = vec![Vec::new(); specs.len()];
            for (which, place, kind) in &broken {
                let which = which.index(specs.len());
                if all[which].is_empty() {
                    continue;
                }
                let place = place.index(all[which].len());
                let value = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][*kind];
                all[which][place] = value;
                first = Some(first.map_or(which, |first| first.min(which)));
            }
            for (kinds, values) in kinds.iter_mut().zip(&all) {
                kinds.extend(values.iter().filter(|x| !x.is_finite()).map(|x| x.to_bits() & 0xff80_0000));
            }
            let tensors = || -> Vec<AnyTensor> {
                let of = |(spec, values): (&Spec, &Vec<f32>)| {
                    tensor(&spec.shape, spec.permuted[0], values, &device)
                };
                specs.iter().zip(&all).map(of).collect()
            };
            let found = not_finite(&device, tensors());
            assert_eq!(found.map(|(which, _)| which), first);
            let values = read(&not_finite_values(&device, tensors()).into());
            for (value, kinds) in values.iter().zip(&kinds) {
                match kinds.is_empty() {
                    true => assert_eq!(*value, 0.0),
                    // A NaN's sign says nothing.
                    false => assert!(kinds.iter().any(|kind| {
                        f32::from_bits(*kind) == *value || !value.is_finite()
                    })),
                }
            }
        }
    }
}

/// More than one stretch of a cube, on the way to the last element.
#[test]
fn long_tensors_are_covered_to_their_end() {
    for device in devices() {
        for length in [4095, 4096, 4097, 16384, 16385, 70_003] {
            let w = values(3, length);
            let parameter = AnyTensor::from_data(TensorData::new(w.clone(), [length]), &device);
            let [norm, ..] =
                update_norms_all(&device, vec![(parameter.clone(), parameter.clone(), 0.0)]);
            near("norm", &norm.into(), &[1], &[self::norm(wide(&w).into_iter())]);
            let averaged = moving_average_all(&device, vec![(parameter.clone(), parameter)], 0.5);
            near("average", &averaged[0], &[length], &wide(&w));
            for place in [0, length / 2, length - 1] {
                let mut w = w.clone();
                w[place] = f32::NAN;
                let broken = AnyTensor::from_data(TensorData::new(w, [length]), &device);
                let fine = Tensor::<1>::ones([7], &device).into();
                let (which, value) = not_finite(&device, vec![fine, broken]).unwrap();
                assert!(which == 1 && value.is_nan());
            }
        }
    }
}
