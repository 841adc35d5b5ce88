//! Where the lines are drawn, and why there.
//!
//! "Small runs" are this project's: a ResNet-18 of width 8 (64 features) on `fashion-mini`, measured on its
//! 2,000 test images. Default BYOL (k-NN 0.79, untrained 0.70) uses 44 of 64 directions in its features
//! (RankMe 11), yet 5 of 128 in its projections; default Barlow Twins 64 of 64 (RankMe 17) and 30 of 64. No
//! line may demand full rank, and none may condemn projections that features survive.

/// Below this share of the variance on the sphere all embeddings are one point: a mean standard
/// deviation of 0.02 at most, where Chen & He (2021, figure 2) see 0 for SimSiam without
/// stop-gradient and 1 for a healthy run. Small BYOL without predictor and stop-gradient has projections at
/// 1e-4 after 80 steps, an untrained network in evaluation mode at 1.5e-3: the line is between.
pub const COMPLETE: f64 = 5e-4;
/// Below this share differences are small: a mean standard deviation of 0.1 at most, mean cosine
/// similarity above 0.99. Untrained networks start there and training should leave it.
pub const SMALL: f64 = 1e-2;
/// Share of the possible directions up to which features are collapsed, and projections narrow, or
/// collapsed if their differences are small too: BYOL without its predictor had 3 of 128 at a mean
/// cosine similarity of 0.998, the default run 6 at 0.2.
pub const FEW_DIRECTIONS: f64 = 0.05;
/// Share of the possible directions below which there is a warning about features.
pub const LOW_DIRECTIONS: f64 = 0.12;
/// As few directions as these are a collapse of features and projections alike, wherever more than twice
/// as many are possible.
pub const MIN_DIRECTIONS: usize = 2;
/// Share of dead dimensions above which there is a warning. A few dead channels after a ReLU are common in
/// networks that classify well.
pub const DEAD: f64 = 0.1;
/// Embeddings that it takes to tell one point from many.
pub const ROWS_FOR_SPREAD: usize = 8;
/// Embeddings that it takes to count directions: N of them span N − 1 at most, and unevenly.
pub const ROWS_FOR_DIRECTIONS: usize = 32;
/// Mean `|C_ij|` off the diagonal above which dimensions repeat each other, where the loss asks that they do
/// not. Chance alone makes 0.8/√rows, 0.07 of 128 rows; the default small runs have 0.25 (Barlow Twins) and
/// 0.64 (BYOL, whose loss does not ask).
pub const REDUNDANT: f64 = 0.5;
/// Mean `C_ii` below which the views of an image have little in common.
pub const DISAGREE: f64 = 0.1;
/// Uniformity above this says what [`COMPLETE`] says: near 0 it is −4 times the variance on the sphere.
pub const CROWDED: f64 = -4.0 * COMPLETE;
/// Share of the untrained features' effective rank (centred) below which training has lost
/// directions. Healthy small runs keep 0.75 and more, BYOL without predictor and stop-gradient 0.39.
pub const LOST: f64 = 0.5;
/// Participation ratio of the predictor's squared singular values below which it passes one direction
/// only. Alone it says nothing: BYOL that learns has 1.03 to 1.07 over its first hundreds of steps, and
/// 2.5 at the end of the default run. It is a warning where the projections are narrow too.
pub const NARROW_PREDICTOR: f64 = 1.5;
/// Relative distance of the weights below which the target is the online network: what rounding leaves of
/// none in f32 is 3e-8. An average with τ = 0.996 stays some 250 steps behind.
pub const SAME_TARGET: f64 = 1e-6;
/// 1 − mean cosine of online and target projections above which the target tells the online network
/// nothing: two independent networks are at 1.
pub const STRANGE_TARGET: f64 = 0.9;
/// Optimiser steps before which nothing is concluded but a complete collapse. Features are judged in evaluation
/// mode, and the running statistics of batch norm start at mean 0 and variance 1: with a momentum of 0.1 it takes
/// 44 steps until less than 1 % is left of that (`0.9⁴⁴ < 0.01`). k-NN of the default small run of BYOL, which ends
/// above the untrained encoder, falls below it meanwhile: 67.6 % untrained, 63.9 % after one step at a
/// learning rate of 0, 54.7 % after 9.
pub const EARLY_STEPS: u64 = 44;
/// What the steps must be worth at the highest learning rate, so that a long warm-up is no training. Ten is the
/// memory of a momentum of 0.9, after which the weights move at full speed.
pub const EARLY_FULL_STEPS: f64 = 10.0;
/// Standard errors of a difference of accuracies that are beyond chance: 95 % of chance is within.
pub const CHANCE: f64 = 1.96;
/// Where chance alone moves accuracies further apart than this, the test images are too few to say that
/// training brought nothing: the default small runs gain 8 to 11 points. It takes some 650 images.
pub const WIDE_CHANCE: f64 = 0.05;
