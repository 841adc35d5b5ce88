//! Squares of values, turned in registers.

use crate::arithmetic::BLOCK;

/// Rows become columns.
#[inline(always)]
pub fn transposed<T: Copy>(block: [[T; BLOCK]; BLOCK]) -> [[T; BLOCK]; BLOCK] {
    swapped::<T, 1>(swapped::<T, 2>(swapped::<T, 4>(swapped::<T, 8>(block))))
}

/// Squares of side `S` beside the diagonal change places: what vector instructions do.
#[inline(always)]
fn swapped<T: Copy, const S: usize>(block: [[T; BLOCK]; BLOCK]) -> [[T; BLOCK]; BLOCK] {
    let mut out = block;
    for i in (0..BLOCK).filter(|i| i & S == 0) {
        let (a, b) = (block[i], block[i + S]);
        out[i] = std::array::from_fn(|j| if j & S == 0 { a[j] } else { b[j - S] });
        out[i + S] = std::array::from_fn(|j| if j & S == 0 { a[j + S] } else { b[j] });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_block_has_its_rows_as_columns() {
        let block = std::array::from_fn(|i| std::array::from_fn(|j| i * BLOCK + j));
        let turned = transposed(block);
        for (i, row) in turned.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                assert_eq!(*value, j * BLOCK + i);
            }
        }
    }
}
