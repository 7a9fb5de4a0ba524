//! Cholesky's factor of a small matrix of products, and what is solved with it.

use super::StatsError;

/// `L` with `L Lᵀ = M`, by row.
pub(super) struct Factor {
    lower: Vec<f64>,
    size: usize,
}

impl Factor {
    /// Of the upper half of `products`. A pivot of `least` or less, with a diagonal that was near the number of rows,
    /// belongs to a regressor that the constant and those before it explain.
    pub(super) fn new(products: &[f64], size: usize, least: f64) -> Result<Self, StatsError> {
        let mut lower = vec![0.0; size * size];
        for column in 0..size {
            let (done, rest) = lower.split_at_mut(column * size);
            let row = &mut rest[..=column];
            for (at, above) in done.chunks_exact(size).enumerate() {
                let inner: f64 = row[..at].iter().zip(&above[..at]).map(|(x, y)| x * y).sum();
                row[at] = (products[at * size + column] - inner) / above[at];
            }
            let pivot = products[column * size + column] - row[..column].iter().map(|x| x * x).sum::<f64>();
            // A pivot that is not a number is not above it either.
            if pivot.partial_cmp(&least) != Some(std::cmp::Ordering::Greater) {
                return Err(StatsError::Singular { column: column.saturating_sub(1) });
            }
            row[column] = pivot.sqrt();
        }
        Ok(Self { lower, size })
    }

    /// `M⁻¹ b`.
    pub(super) fn solve(&self, b: &[f64]) -> Vec<f64> {
        let (l, size) = (&self.lower, self.size);
        let mut x = b.to_vec();
        for i in 0..size {
            let inner: f64 = l[i * size..][..i].iter().zip(&x).map(|(l, x)| l * x).sum();
            x[i] = (x[i] - inner) / l[i * size + i];
        }
        for i in (0..size).rev() {
            let inner: f64 = (i + 1..size).map(|j| l[j * size + i] * x[j]).sum();
            x[i] = (x[i] - inner) / l[i * size + i];
        }
        x
    }

    /// A column of `M⁻¹`.
    pub(super) fn column(&self, at: usize) -> Vec<f64> {
        let mut unit = vec![0.0; self.size];
        unit[at] = 1.0;
        self.solve(&unit)
    }

    /// `M⁻¹ Ω M⁻¹` of a symmetric `Ω`, by row, symmetric to the last bit.
    pub(super) fn sandwich(&self, omega: &[f64]) -> Vec<f64> {
        let size = self.size;
        let left: Vec<Vec<f64>> = omega.chunks_exact(size).map(|row| self.solve(row)).collect(); // rows of Ω M⁻¹
        let mut found = vec![0.0; size * size];
        for b in 0..size {
            let column: Vec<f64> = left.iter().map(|row| row[b]).collect();
            for (a, value) in self.solve(&column).into_iter().enumerate() {
                found[a * size + b] = value;
            }
        }
        for a in 0..size {
            for b in 0..a {
                let middle = f64::midpoint(found[a * size + b], found[b * size + a]);
                found[a * size + b] = middle;
                found[b * size + a] = middle;
            }
        }
        found
    }
}
