//! Colour arithmetic shared by jitter and grayscale, with torchvision's constants.

/// Luma by ITU-R BT.601, as PIL and torchvision have it.
pub(super) fn luma(r: f32, g: f32, b: f32) -> f32 {
    0.299 * r + 0.587 * g + 0.114 * b
}

/// Turns the hue by `shift` turns (1 is a full circle), keeping HSV saturation and value.
///
/// In HSV each channel is `v − v·s·max(0, min(k, 4 − k, 1))` with `k = (n + 6h) mod 6` and
/// `n = 5, 3, 1` for red, green and blue.
pub(super) fn shift_hue(rgb: [f32; 3], shift: f32) -> [f32; 3] {
    let [r, g, b] = rgb;
    let max = r.max(g).max(b);
    let min = r.min(g).min(b);
    let chroma = max - min;
    if chroma <= 0.0 {
        return rgb;
    }
    let sextant = if max == r {
        (g - b) / chroma
    } else if max == g {
        2.0 + (b - r) / chroma
    } else {
        4.0 + (r - g) / chroma
    };
    let hue = sextant + 6.0 * shift;
    [5.0, 3.0, 1.0].map(|n: f32| {
        let k = (n + hue).rem_euclid(6.0);
        max - chroma * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: [f32; 3], b: [f32; 3]) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?} {b:?}");
    }

    #[test]
    fn a_third_of_a_turn_takes_red_to_green() {
        close(shift_hue([0.9, 0.2, 0.2], 1.0 / 3.0), [0.2, 0.9, 0.2]);
        close(shift_hue([0.9, 0.2, 0.2], -1.0 / 3.0), [0.2, 0.2, 0.9]);
        close(shift_hue([0.1, 0.5, 0.3], 1.0), [0.1, 0.5, 0.3]);
        close(shift_hue([0.4, 0.4, 0.4], 0.3), [0.4, 0.4, 0.4]);
    }
}
