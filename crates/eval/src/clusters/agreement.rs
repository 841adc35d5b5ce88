//! How well two groupings of the same images agree, whatever the groups' names.

use std::collections::BTreeMap;

use crate::EvalError;

/// Normalised mutual information of two groupings: `I(A; B) / ((H(A) + H(B)) / 2)`, from 0
/// (independent) to 1 (the same groups).
///
/// Normalised by the arithmetic mean of the entropies (Vinh et al., 2010, `NMI_sum`), as
/// scikit-learn does by default. 1 if both have a single group. It is not corrected for chance:
/// many small groups score well against anything. The [`adjusted_rand_index`] is corrected.
///
/// Symmetric, and unchanged by renaming groups or reordering images.
///
/// # Errors
/// Groupings of different lengths, or of nothing.
pub fn normalized_mutual_information(a: &[u32], b: &[u32]) -> Result<f64, EvalError> {
    let table = Contingency::new(a, b)?;
    let n = table.total as f64;
    let entropy = |counts: &BTreeMap<u32, u64>| -> f64 {
        counts.values().map(|c| *c as f64 / n).map(|p| -p * p.ln()).sum()
    };
    let (h_a, h_b) = (entropy(&table.rows), entropy(&table.columns));
    if table.rows.len() == 1 && table.columns.len() == 1 {
        return Ok(1.0);
    }
    let information: f64 = table
        .cells
        .iter()
        .map(|((i, j), c)| {
            let (c, expected) = (*c as f64, table.rows[i] as f64 * table.columns[j] as f64);
            c / n * (c * n / expected).ln()
        })
        .sum();
    Ok((information / ((h_a + h_b) / 2.0)).clamp(0.0, 1.0))
}

/// Adjusted Rand index of two groupings (Hubert & Arabie, 1985, eq. 5). It is the share of pairs of
/// images on which the groupings agree, scaled: independent groupings of the same sizes have
/// expectation 0. It is at most 1, and below 0 if they agree less than by chance.
///
/// With `n_ij` images in group i of one and j of the other,
/// `(Σ_ij C(n_ij, 2) − E) / ((Σ_i C(a_i, 2) + Σ_j C(b_j, 2)) / 2 − E)`,
/// `E = Σ_i C(a_i, 2) · Σ_j C(b_j, 2) / C(n, 2)`. 1 if nothing can differ: both are one group, or
/// both put every image by itself.
///
/// Symmetric, and unchanged by renaming groups or reordering images.
///
/// # Errors
/// Groupings of different lengths, or of nothing.
pub fn adjusted_rand_index(a: &[u32], b: &[u32]) -> Result<f64, EvalError> {
    let table = Contingency::new(a, b)?;
    let pairs = |count: u64| count as f64 * (count as f64 - 1.0) / 2.0;
    let both: f64 = table.cells.values().map(|c| pairs(*c)).sum();
    let in_a: f64 = table.rows.values().map(|c| pairs(*c)).sum();
    let in_b: f64 = table.columns.values().map(|c| pairs(*c)).sum();
    let all = pairs(table.total);
    let expected = if all > 0.0 { in_a * in_b / all } else { 0.0 };
    let most = (in_a + in_b) / 2.0;
    Ok(if most == expected { 1.0 } else { (both - expected) / (most - expected) })
}

/// "Clustering accuracy" (Xie et al., 2016, eq. 10): the share of images whose group is matched to
/// their class, under the best one-to-one matching of clusters and classes.
///
/// With more clusters than classes, images of unmatched clusters count as wrong. The matching is
/// Kuhn's Hungarian method (1955), cubic in the number of groups.
///
/// # Errors
/// Groupings of different lengths or of nothing, or more than 2,000 groups in one of them.
pub fn assignment_accuracy(clusters: &[u32], labels: &[u32]) -> Result<f64, EvalError> {
    const MOST: usize = 2_000;
    let table = Contingency::new(clusters, labels)?;
    let size = table.rows.len().max(table.columns.len());
    if size > MOST {
        return Err(EvalError::Request(format!("cannot match {size} groups; {MOST} at most")));
    }
    let place = |groups: &BTreeMap<u32, u64>| -> BTreeMap<u32, usize> {
        groups.keys().enumerate().map(|(i, g)| (*g, i)).collect()
    };
    let (rows, columns) = (place(&table.rows), place(&table.columns));
    let mut gain = vec![vec![0i64; size]; size];
    for ((i, j), count) in &table.cells {
        gain[rows[i]][columns[j]] = *count as i64;
    }
    Ok(best_assignment(&gain) as f64 / table.total as f64)
}

/// How many images each group of one grouping shares with each group of the other.
struct Contingency {
    cells: BTreeMap<(u32, u32), u64>,
    rows: BTreeMap<u32, u64>,
    columns: BTreeMap<u32, u64>,
    total: u64,
}

impl Contingency {
    fn new(a: &[u32], b: &[u32]) -> Result<Self, EvalError> {
        if a.len() != b.len() || a.is_empty() {
            let (a, b) = (a.len(), b.len());
            return Err(EvalError::Request(format!("cannot compare groups of {a} and {b} images")));
        }
        let mut table = Self {
            cells: BTreeMap::new(),
            rows: BTreeMap::new(),
            columns: BTreeMap::new(),
            total: a.len() as u64,
        };
        for (a, b) in a.iter().zip(b) {
            *table.cells.entry((*a, *b)).or_default() += 1;
            *table.rows.entry(*a).or_default() += 1;
            *table.columns.entry(*b).or_default() += 1;
        }
        Ok(table)
    }
}

/// The largest sum of entries of a square matrix, with one entry from each row and each column.
/// Rows are matched one after the other along the cheapest augmenting path. Potentials of rows and
/// columns keep every reduced cost at 0 or above.
fn best_assignment(gain: &[Vec<i64>]) -> i64 {
    let n = gain.len();
    // Row and column 0 are sentinels: column 0 holds the row that is being matched.
    let (mut row_potential, mut column_potential) = (vec![0i64; n + 1], vec![0i64; n + 1]);
    let mut row_of = vec![0usize; n + 1];
    for row in 1..=n {
        row_of[0] = row;
        let (mut slack, mut from) = (vec![i64::MAX; n + 1], vec![0usize; n + 1]);
        let mut visited = vec![false; n + 1];
        let mut column = 0;
        while row_of[column] != 0 {
            visited[column] = true;
            let (r, mut delta, mut next) = (row_of[column], i64::MAX, 0);
            for c in (1..=n).filter(|c| !visited[*c]) {
                let reduced = -gain[r - 1][c - 1] - row_potential[r] - column_potential[c];
                if reduced < slack[c] {
                    (slack[c], from[c]) = (reduced, column);
                }
                if slack[c] < delta {
                    (delta, next) = (slack[c], c);
                }
            }
            for c in 0..=n {
                if visited[c] {
                    row_potential[row_of[c]] += delta;
                    column_potential[c] -= delta;
                } else if slack[c] != i64::MAX {
                    slack[c] -= delta;
                }
            }
            column = next;
        }
        while column != 0 {
            row_of[column] = row_of[from[column]];
            column = from[column];
        }
    }
    (1..=n).map(|c| gain[row_of[c] - 1][c - 1]).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: [u32; 20] = [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 0, 1, 2];
    const B: [u32; 20] = [5, 5, 5, 7, 7, 7, 7, 5, 7, 9, 9, 9, 9, 7, 9, 9, 5, 5, 7, 9];

    #[test]
    fn scores_are_scikit_learns() {
        // normalized_mutual_info_score(A, B) and adjusted_rand_score(A, B) of scikit-learn 1.9.1;
        // the matching with SciPy's linear_sum_assignment.
        let nmi = normalized_mutual_information(&A, &B).unwrap();
        let ari = adjusted_rand_index(&A, &B).unwrap();
        assert!((nmi - 0.5187885943494072).abs() < 1e-12, "{nmi}");
        assert!((ari - 0.44591029023746703).abs() < 1e-12, "{ari}");
        assert_eq!(assignment_accuracy(&A, &B).unwrap(), 15.0 / 20.0);
    }

    #[test]
    fn groups_of_one_and_single_groups() {
        let (one, each) = ([3; 5], [0, 1, 2, 3, 4]);
        assert_eq!(normalized_mutual_information(&one, &one).unwrap(), 1.0);
        assert_eq!(adjusted_rand_index(&one, &one).unwrap(), 1.0);
        assert_eq!(adjusted_rand_index(&each, &each).unwrap(), 1.0);
        assert_eq!(normalized_mutual_information(&one, &each).unwrap(), 0.0);
        assert_eq!(adjusted_rand_index(&one, &each).unwrap(), 0.0);
        assert_eq!(assignment_accuracy(&one, &each).unwrap(), 0.2);
        assert_eq!(adjusted_rand_index(&[1], &[2]).unwrap(), 1.0);
    }

    #[test]
    fn different_lengths_and_nothing_are_refused() {
        assert!(normalized_mutual_information(&[1], &[1, 2]).is_err());
        assert!(adjusted_rand_index(&[], &[]).is_err());
        let many: Vec<u32> = (0..2_001).collect();
        assert!(assignment_accuracy(&many, &many).is_err());
    }

    fn permutations(n: usize) -> Vec<Vec<usize>> {
        if n == 0 {
            return vec![vec![]];
        }
        let shorter = permutations(n - 1);
        let with = |p: Vec<usize>| (0..n).map(move |i| [&p[..i], &[n - 1], &p[i..]].concat());
        shorter.into_iter().flat_map(with).collect()
    }

    proptest! {
        #[test]
        fn names_and_order_do_not_matter_and_arguments_may_be_swapped(
            pairs in prop::collection::vec((0u32..5, 0u32..4), 1..60),
        ) {
            let (a, b): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
            let (ra, rb): (Vec<u32>, Vec<u32>) =
                pairs.iter().rev().map(|(a, b)| (1_000_000 - 7 * a, b + 3)).unzip();
            for measure in [normalized_mutual_information, adjusted_rand_index, assignment_accuracy] {
                let value = measure(&a, &b).unwrap();
                prop_assert!((value - measure(&ra, &rb).unwrap()).abs() < 1e-12);
                prop_assert!((value - measure(&b, &a).unwrap()).abs() < 1e-12);
                prop_assert!((measure(&a, &a).unwrap() - 1.0).abs() < 1e-12);
                prop_assert!(value <= 1.0);
            }
        }

        #[test]
        fn the_matching_is_the_best_of_all(n in 1usize..6, values in prop::collection::vec(0i64..9, 25)) {
            let gain: Vec<Vec<i64>> = (0..n).map(|i| values[i * n..(i + 1) * n].to_vec()).collect();
            let sum = |p: &Vec<usize>| p.iter().enumerate().map(|(i, j)| gain[i][*j]).sum::<i64>();
            let best = permutations(n).iter().map(sum).max();
            prop_assert_eq!(Some(best_assignment(&gain)), best);
        }
    }
}
