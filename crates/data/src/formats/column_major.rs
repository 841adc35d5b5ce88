//! Images as MATLAB stores them: plane after plane, column after column.

use image::RgbImage;

/// Rows of interleaved pixels from the red, green and blue plane of a square image.
///
/// `planes` has `3 · side²` bytes.
pub(crate) fn rgb_from_columns(planes: &[u8], side: usize) -> RgbImage {
    let plane = side * side;
    RgbImage::from_fn(side as u32, side as u32, |x, y| {
        let at = x as usize * side + y as usize;
        image::Rgb([planes[at], planes[plane + at], planes[2 * plane + at]])
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A stored image. Red is the column, green the row and blue `value`.
    pub(crate) fn columns(side: usize, value: u8) -> Vec<u8> {
        let places = || (0..side as u8).flat_map(|x| (0..side as u8).map(move |y| (x, y)));
        let red = places().map(|(x, _)| x);
        red.chain(places().map(|(_, y)| y)).chain(places().map(|_| value)).collect()
    }

    #[test]
    fn every_pixel_goes_to_its_row_and_column() {
        let image = rgb_from_columns(&columns(5, 9), 5);
        assert!(image.enumerate_pixels().all(|(x, y, p)| p.0 == [x as u8, y as u8, 9]));
    }
}
