//! Frost, drawn: feathers of ice that grow from nuclei, on an uneven film.

use std::f32::consts::{FRAC_PI_3, TAU};

use rand::RngExt;

use super::Strength;
use super::weather::Plasma;
use crate::ops::uniform;
use crate::{Image, ViewRng};

/// Adds a picture of frost to a share of the image. The shares are the authors'. Their photographs
/// are not part of this crate: the picture is [`Ice`] in the mean colour and the contrast of one of
/// them.
pub fn frost(image: &mut Image, strength: Strength, rng: &mut ViewRng) {
    let (keep, share) = strength.pick(
        [(1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)],
        [(1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)],
    );
    // Measured on the five photographs of the authors' programs. Two of them are the same.
    let (colour, deviation) = [
        ([78.0, 149.0, 166.0], 18.0),
        ([201.0, 205.0, 214.0], 22.0),
        ([201.0, 205.0, 214.0], 22.0),
        ([138.0, 153.0, 165.0], 29.0),
        ([112.0, 123.0, 135.0], 43.0),
    ][rng.random_range(0..5usize)];
    let ice = Ice::grow(image.width(), image.height(), rng);
    for (plane, mean) in image.planes_mut().into_iter().zip(colour) {
        for (value, thickness) in plane.iter_mut().zip(&ice.thickness) {
            let level: f32 = mean + deviation * thickness;
            *value = keep * *value + share * level.clamp(0.0, 255.0) / 255.0;
        }
    }
}

/// How thick the ice is, with mean 0 and deviation 1 over the image.
struct Ice {
    thickness: Vec<f32>,
    width: usize,
    height: usize,
}

impl Ice {
    fn grow(width: usize, height: usize, rng: &mut ViewRng) -> Self {
        let side = width.min(height) as f32;
        let mut ice = Self { thickness: vec![0.0; width * height], width, height };
        // A longer image has more of everything.
        let squares = (width * height) as f32 / (side * side);
        let anywhere = |rng: &mut ViewRng| {
            [width, height].map(|length| uniform([-0.1, 1.1], rng) * length as f32)
        };
        for _ in 0..(GRAINS * side * squares) as usize {
            let from = anywhere(rng);
            let to = along(from, uniform([0.0, TAU], rng), side * uniform([0.02, 0.12], rng));
            ice.line(from, to, [uniform([0.1, 0.6], rng), 0.1]);
        }
        for _ in 0..(NUCLEI * side.sqrt() * squares) as usize {
            let nucleus = anywhere(rng);
            let towards = uniform([0.0, TAU], rng);
            for _ in 0..FEATHERS {
                let direction = towards + uniform([-0.8, 0.8], rng);
                ice.feather(nucleus, direction, side * uniform([0.05, 0.4], rng), rng);
            }
        }
        let film = Plasma::new(width, height, 2.0, rng);
        for (i, value) in ice.thickness.iter_mut().enumerate() {
            // Light is scattered once: more ice is whiter, but never more than white.
            *value = 1.0 - (-*value).exp() + 1.3 * film.at(i % width, i / width);
        }
        ice.standardise();
        ice
    }

    /// A stem with needles on both sides, at 60° as in ice crystals. They get shorter towards the
    /// tip.
    fn feather(&mut self, start: [f32; 2], direction: f32, length: f32, rng: &mut ViewRng) {
        let side = self.width.min(self.height) as f32;
        let spacing = (0.018 * side).max(1.5);
        let strength = uniform([0.15, 0.7], rng);
        let curve = uniform([-2.0, 2.0], rng) / side;
        let (mut place, mut direction, mut way) = (start, direction, 0.0);
        while way < length {
            let next = along(place, direction, spacing);
            self.line(place, next, [strength; 2]);
            let rest = 1.0 - way / length;
            for turn in [-1.0, 1.0] {
                let needle = 0.3 * length * rest * uniform([0.3, 1.0], rng);
                let towards = direction + turn * (FRAC_PI_3 + uniform([-0.15, 0.15], rng));
                self.line(place, along(place, towards, needle), [0.8 * strength, 0.1 * strength]);
            }
            place = next;
            direction += curve * spacing;
            way += spacing;
        }
    }

    /// A dot for each pixel of length, shared among the four pixels around it. The ice's `strength`
    /// goes from the first value to the second.
    fn line(&mut self, from: [f32; 2], to: [f32; 2], strength: [f32; 2]) {
        let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
        let count = (dx * dx + dy * dy).sqrt() as usize + 1;
        let step = 1.0 / count as f32;
        for i in 0..count {
            let share = i as f32 * step;
            let (x, y) = (from[0] + share * dx, from[1] + share * dy);
            let within = x >= 0.0 && y >= 0.0 && x < self.width as f32 && y < self.height as f32;
            if !within {
                continue;
            }
            let (left, top) = (x as usize, y as usize);
            let (right, below) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
            let (a, b) = (x - left as f32, y - top as f32);
            let dot = strength[0] + (strength[1] - strength[0]) * share;
            let rows = [(top, 1.0 - b), (below, b)];
            for (row, b) in rows {
                self.thickness[row * self.width + left] += dot * (1.0 - a) * b;
                self.thickness[row * self.width + right] += dot * a * b;
            }
        }
    }

    fn standardise(&mut self) {
        let count = self.thickness.len() as f64;
        let mean = self.thickness.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let square = |v: &f32| (f64::from(*v) - mean).powi(2);
        let variance = self.thickness.iter().map(square).sum::<f64>() / count;
        // A single pixel has no contrast.
        let scale = 1.0 / variance.sqrt().max(1e-6);
        self.thickness.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) * scale) as f32);
    }
}

/// Places where feathers begin in a square image, for each unit of the root of its side. A small
/// picture is soon full.
const NUCLEI: f32 = 4.0;
/// Feathers from each of these places.
const FEATHERS: usize = 5;
/// Single needles in a square image, for each pixel of its side.
const GRAINS: f32 = 14.0;

/// The place at the distance `way` in a direction.
fn along([x, y]: [f32; 2], direction: f32, way: f32) -> [f32; 2] {
    let (sine, cosine) = direction.sin_cos();
    [x + way * cosine, y + way * sine]
}
