//! A random affine map, then a smooth random displacement (after Simard et al., 2003).

use rand::RngExt;

use super::Strength;
use super::filter::{Border, gaussian};
use crate::ops::uniform;
use crate::{Image, ViewRng};

/// The affine map moves three corners of a square of two thirds of the side. The displacement is
/// uniform noise, smoothed and scaled.
pub fn transform(image: &mut Image, strength: Strength, rng: &mut ViewRng) {
    // Scale and smoothness of the displacement, and how far a corner moves, for sides of 32 and of
    // 244 pixels. The authors meant 224.
    let (scale, smooth, corner) = strength.pick(
        [
            (0.0, 0.0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ],
        [
            (2.0, 0.7, 0.1),
            (2.0, 0.08, 0.2),
            (0.05, 0.01, 0.02),
            (0.07, 0.01, 0.02),
            (0.12, 0.01, 0.02),
        ],
    );
    let side = strength.scale * if strength.imagenet { 244.0 } else { 32.0 };
    let (width, height) = (image.width(), image.height());
    let source = image.clone();
    if let Some(back) = affine(width, height, corner * side, rng) {
        sample(&source, image, Border::Reflect, |x, y| back.apply([x as f32, y as f32]));
    }
    let mut field = || {
        let mut noise: Vec<f32> =
            (0..width * height).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect();
        gaussian(&mut noise, width, smooth * side, 3.0, Border::Symmetric);
        noise.iter_mut().for_each(|value| *value *= scale * side);
        noise
    };
    if scale > 0.0 {
        let (dx, dy) = (field(), field());
        let source = image.clone();
        sample(&source, image, Border::Symmetric, |x, y| {
            let i = y * width + x;
            [x as f32 + dx[i], y as f32 + dy[i]]
        });
    }
}

/// `p ↦ to + matrix · (p − from)`
struct Affine {
    from: [f32; 2],
    to: [f32; 2],
    matrix: [[f32; 2]; 2],
}

impl Affine {
    fn apply(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (x, y) = (x - self.from[0], y - self.from[1]);
        [0, 1].map(|i| self.to[i] + self.matrix[i][0] * x + self.matrix[i][1] * y)
    }
}

/// The map that brings three moved corners back. None if they lie on a line, as in an image of 2
/// pixels.
fn affine(width: usize, height: usize, reach: f32, rng: &mut ViewRng) -> Option<Affine> {
    let square = (width.min(height) / 3) as f32;
    let (x, y) = ((width / 2) as f32, (height / 2) as f32);
    let corners = [[x + square, y + square], [x + square, y - square], [x - square, y - square]];
    let moved = corners.map(|corner| corner.map(|v| v + uniform([-reach, reach], rng)));
    let sides = |p: [[f32; 2]; 3]| [difference(p[1], p[0]), difference(p[2], p[0])];
    let ([a, b], [c, d]) = (sides(moved), sides(corners));
    let area = a[0] * b[1] - a[1] * b[0];
    (square > 0.0 && area.abs() > 1e-3).then(|| Affine {
        from: moved[0],
        to: corners[0],
        matrix: [0, 1]
            .map(|i| [(c[i] * b[1] - d[i] * a[1]) / area, (d[i] * a[0] - c[i] * b[0]) / area]),
    })
}

fn difference(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [a[0] - b[0], a[1] - b[1]]
}

/// Reads each pixel of `to` bilinearly where `place` says.
fn sample(from: &Image, to: &mut Image, border: Border, place: impl Fn(usize, usize) -> [f32; 2]) {
    let (width, height) = (from.width(), from.height());
    let [r, g, b] = to.planes_mut();
    for (i, ((r, g), b)) in r.iter_mut().zip(g).zip(b).enumerate() {
        let [x, y] = place(i % width, i / width);
        let (left, top) = (x.floor(), y.floor());
        let (share_x, share_y) = (x - left, y - top);
        // A coordinate that is not finite becomes a place as well.
        let columns = [0, 1].map(|d| border.place((left as i64).saturating_add(d), width));
        let rows = [0, 1].map(|d| border.place((top as i64).saturating_add(d), height) * width);
        for (to, from) in [r, g, b].into_iter().zip(from.planes()) {
            let across = rows.map(|row| {
                let (left, right) = (from[row + columns[0]], from[row + columns[1]]);
                left + (right - left) * share_x
            });
            *to = across[0] + (across[1] - across[0]) * share_y;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ViewKey;

    #[test]
    fn moved_corners_come_back() {
        let mut rng = ViewKey { seed: 1, epoch: 0, image: 0, view: 0 }.rng();
        let same = affine(30, 30, 0.0, &mut rng).unwrap();
        let [x, y] = same.apply([3.0, 17.0]);
        assert!((x - 3.0).abs() < 1e-4 && (y - 17.0).abs() < 1e-4, "{x} {y}");
        let mut again = rng.clone();
        let back = affine(30, 30, 3.0, &mut rng).unwrap();
        for corner in [[25.0, 25.0], [25.0, 5.0], [5.0, 5.0]] {
            let moved = corner.map(|v| v + uniform([-3.0, 3.0], &mut again));
            let found = back.apply(moved);
            assert!(
                difference(found, corner).iter().all(|d| d.abs() < 1e-3),
                "{found:?} {corner:?}"
            );
        }
        assert!(affine(2, 2, 3.0, &mut rng).is_none());
    }
}
