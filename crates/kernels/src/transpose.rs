//! Transposes squares of values in registers.

use crate::arithmetic::BLOCK;

/// Rows become columns. It works in place, because squares passed by value are copied in memory.
#[inline(always)]
pub fn transpose<T: Copy>(square: &mut [[T; BLOCK]; BLOCK]) {
    swap::<T, 8>(square);
    swap::<T, 4>(square);
    swap::<T, 2>(square);
    swap::<T, 1>(square);
}

/// Squares of side `S` beside the diagonal change places: what vector instructions do.
#[inline(always)]
fn swap<T: Copy, const S: usize>(square: &mut [[T; BLOCK]; BLOCK]) {
    for i in 0..BLOCK {
        if i & S == 0 {
            let (a, b) = (square[i], square[i + S]);
            for j in 0..BLOCK {
                square[i][j] = if j & S == 0 { a[j] } else { b[j - S] };
                square[i + S][j] = if j & S == 0 { a[j + S] } else { b[j] };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_block_has_its_rows_as_columns() {
        let mut square = std::array::from_fn(|i| std::array::from_fn(|j| i * BLOCK + j));
        transpose(&mut square);
        for (i, row) in square.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                assert_eq!(*value, j * BLOCK + i);
            }
        }
    }
}
