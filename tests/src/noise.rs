//! The numbers that all reference inputs are made of: a hash of (seed, index),
//! `reference/common.py`'s.

/// `count` values in `[0, 1)`, multiples of 2⁻²⁴: SplitMix64 of (seed, index).
pub fn unit(seed: u64, count: usize) -> Vec<f32> {
    (1..=count as u64)
        .map(|i| {
            let mut x = seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(i);
            x = x.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            x ^= x >> 31;
            (x >> 40) as f32 / (1u32 << 24) as f32
        })
        .collect()
}

/// Uniform in `[-scale, scale) + offset`.
pub fn noise(seed: u64, count: usize, scale: f32, offset: f32) -> Vec<f32> {
    unit(seed, count).into_iter().map(|u| (u * 2.0 - 1.0) * scale + offset).collect()
}
