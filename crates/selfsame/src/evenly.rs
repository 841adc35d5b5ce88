//! Indices spread evenly over a set.

/// `count` indices evenly over `0..len`, or all.
pub fn evenly(len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len);
    (0..count).map(|i| i * len / count).collect()
}
