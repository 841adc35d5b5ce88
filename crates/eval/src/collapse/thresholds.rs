//! The thresholds of the collapse doctor, with their reasons.
//!
//! "Small runs" are this project's: a ResNet-18 of width 8 (64 features) on `fashion-mini`,
//! measured on its 2,000 test images. Default BYOL (k-NN 0.79, untrained 0.70) uses 44 of 64
//! directions in its features (RankMe 11), yet 5 of 128 in its projections; default Barlow Twins 64
//! of 64 (RankMe 17) and 30 of 64. No threshold may demand full rank, and none may condemn narrow
//! projections behind wide features.

/// Below this share of the variance on the sphere, all embeddings are one point: the mean standard
/// deviation is at most 0.02. Chen & He (2021, figure 2) see 0 for SimSiam without stop-gradient
/// and 1 for a healthy run. Projections of small BYOL without predictor and stop-gradient are at
/// 1e-4 after 80 steps. An untrained network in evaluation mode is at 1.5e-3. The threshold lies
/// between.
pub const COMPLETE: f64 = 5e-4;
/// Below this share differences are small: a mean standard deviation of at most 0.1, a mean cosine
/// similarity above 0.99. Untrained networks start there, and training should leave it.
pub const SMALL: f64 = 1e-2;
/// Up to this share of the possible directions features are collapsed and projections narrow.
/// Projections are collapsed if their differences are small too. BYOL without its predictor had 3
/// of 128 at a mean cosine similarity of 0.998, the default run 6 at 0.2.
pub const FEW_DIRECTIONS: f64 = 0.05;
/// Below this share of the possible directions there is a warning about features.
pub const LOW_DIRECTIONS: f64 = 0.12;
/// So few directions are a collapse, of features and of projections, if more than twice as many are
/// possible.
pub const MIN_DIRECTIONS: usize = 2;
/// Above this share of dead dimensions there is a warning. A few dead channels after a ReLU are
/// common in networks that classify well.
pub const DEAD: f64 = 0.1;
/// Embeddings needed to tell one point from many.
pub const ROWS_FOR_SPREAD: usize = 8;
/// Embeddings needed to count directions: N of them span at most N − 1, and unevenly.
pub const ROWS_FOR_DIRECTIONS: usize = 32;
/// Above this mean `|C_ij|` off the diagonal, dimensions repeat each other. This counts only if the
/// loss decorrelates. Chance alone makes 0.8/√rows: 0.07 for 128 rows. The default small runs have
/// 0.25 (Barlow Twins) and 0.64 (BYOL, whose loss does not decorrelate).
pub const REDUNDANT: f64 = 0.5;
/// Below this mean `C_ii` the views of an image have little in common.
pub const DISAGREE: f64 = 0.1;
/// Uniformity above this means the same as [`COMPLETE`]. Near 0, uniformity is −4 times the
/// variance on the sphere.
pub const CROWDED: f64 = -4.0 * COMPLETE;
/// Below this share of the untrained features' effective rank (centred), training has lost
/// directions. Healthy small runs keep 0.75 and more, BYOL without predictor and stop-gradient
/// 0.39.
pub const LOST: f64 = 0.5;
/// Below this participation ratio of its squared singular values, the predictor passes only one
/// direction. This alone says nothing. A BYOL run that learns has 1.03 to 1.07 over its first
/// hundreds of steps, and 2.5 at the end of the default run. It is a warning if the projections are
/// narrow, too.
pub const NARROW_PREDICTOR: f64 = 1.5;
/// Below this relative distance of the weights, the target is the online network. Rounding in f32
/// alone makes a distance of 3e-8. An average with τ = 0.996 stays some 250 steps behind.
pub const SAME_TARGET: f64 = 1e-6;
/// If 1 − mean cosine of the projections is above this, the target teaches the online network
/// nothing. Two independent networks are at 1.
pub const STRANGE_TARGET: f64 = 0.9;
/// Before so many optimiser steps, only a complete collapse is concluded. Features are judged in
/// evaluation mode, and the running statistics of batch norm start at mean 0 and variance 1. With a
/// momentum of 0.1, less than 1 % of that is left after 44 steps (`0.9⁴⁴ < 0.01`). Until then, k-NN
/// of a good run can fall below that of the untrained encoder. In the default small run of BYOL it
/// is 67.6 % untrained, 63.9 % after one step at a learning rate of 0, and 54.7 % after 9.
pub const EARLY_STEPS: u64 = 44;
/// The steps must be worth at least so many steps at the full learning rate. So a long warm-up does
/// not count as training. Ten is the memory of a momentum of 0.9. After that the weights move at
/// full speed.
pub const EARLY_FULL_STEPS: f64 = 10.0;
/// A difference of accuracies is more than chance if it has more standard errors than this. 95 % of
/// the differences by chance are within.
pub const CHANCE: f64 = 1.96;
/// If chance alone moves accuracies further apart than this, there are too few test images to say
/// that training brought nothing. The default small runs gain 8 to 11 points. Some 650 images are
/// enough.
pub const WIDE_CHANCE: f64 = 0.05;
