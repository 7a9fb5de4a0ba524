//! One step of the dual: the minimum of `g d + d H d / 2` over relative moves `d` of the prices, none of which may leave a
//! price below its lowest.
//!
//! `H` is a Laplacian, so the constraints are settled by a primal-dual active set: solve for the free tokens, hold those
//! that went below, let go of those that are held although they would rise, and again. For such matrices that ends after
//! a few rounds (Hintermüller, Ito, Kunisch, *The Primal-Dual Active Set Strategy as a Semismooth Newton Method*, SIAM
//! Journal on Optimization 13, 2002). Up to some hundred tokens a round is a dense Cholesky factor, above that conjugate
//! gradients.

use super::dual::{Dual, Point, conductance};

/// From so many free tokens the system is solved by conjugate gradients.
const DENSE: usize = 192;
/// Rounds of the active set until one takes what there is: still a step, if not the best.
const ROUNDS: usize = 24;
/// The most that a price falls, and rises, in one step.
const FALL: f64 = -0.9;
const RISE: f64 = 9.0;
const HELD: usize = usize::MAX;

/// The system, its memory kept.
pub(super) struct System {
    edges: Vec<(usize, usize, f64)>,
    /// By token.
    diagonal: Vec<f64>,
    gradient: Vec<f64>,
    least: Vec<f64>,
    moves: Vec<f64>,
    /// Tokens that do not take part: their move is given.
    given: Vec<bool>,
    /// Row of a token among the free ones.
    row: Vec<usize>,
    free: Vec<usize>,
    /// By row.
    matrix: Vec<f64>,
    right: Vec<f64>,
}

impl System {
    pub fn new(tokens: usize) -> Self {
        Self {
            edges: Vec::new(),
            diagonal: vec![0.0; tokens],
            gradient: vec![0.0; tokens],
            least: vec![0.0; tokens],
            moves: vec![0.0; tokens],
            given: vec![false; tokens],
            row: vec![HELD; tokens],
            free: Vec::with_capacity(tokens),
            matrix: Vec::new(),
            right: Vec::new(),
        }
    }

    /// The relative moves of all prices; pools inside their band count with `share`.
    pub fn step(&mut self, dual: &Dual<'_>, point: &Point, share: f64) -> &[f64] {
        self.assemble(dual, point, share);
        let mut is_held = vec![false; point.prices.len()];
        for (token, is_held) in is_held.iter_mut().enumerate() {
            self.least[token] = (dual.lowest[token] / point.prices[token] - 1.0).max(FALL);
            *is_held = dual.is_bound(point, token);
        }
        for _ in 0..ROUNDS {
            self.solve(&is_held);
            let mut is_settled = true;
            // What a held token would gain by rising.
            let mut pull = self.gradient.clone();
            for &(a, b, conductance) in &self.edges {
                let flow = conductance * (self.moves[a] - self.moves[b]);
                pull[a] += flow;
                pull[b] -= flow;
            }
            for token in 0..is_held.len() {
                if self.given[token] {
                    continue;
                }
                let now = if is_held[token] { pull[token] >= 0.0 } else { self.moves[token] < self.least[token] };
                is_settled &= now == is_held[token];
                is_held[token] = now;
            }
            if is_settled {
                break;
            }
        }
        let most = self.moves.iter().copied().fold(0.0, f64::max);
        let scale = if most > RISE { RISE / most } else { 1.0 };
        for (by, least) in self.moves.iter_mut().zip(&self.least) {
            *by = (*by * scale).max(*least);
        }
        &self.moves
    }

    /// The moves that balance what is left of every token by the pools that trade, whatever the prices' lowest.
    pub fn balance(&mut self, dual: &Dual<'_>, point: &Point) -> &[f64] {
        self.assemble(dual, point, 0.0);
        self.least.fill(0.0);
        let is_held: Vec<bool> = (0..point.prices.len()).map(|token| dual.is_bound(point, token)).collect();
        self.solve(&is_held);
        &self.moves
    }

    /// Edges, diagonal and gradient in values.
    fn assemble(&mut self, dual: &Dual<'_>, point: &Point, share: f64) {
        self.diagonal.fill(0.0);
        self.edges.clear();
        for (link, flow) in dual.network.links.iter().zip(&point.flows) {
            let [zero, one] = link.tokens;
            let price = point.prices[zero];
            if price <= 0.0 || point.prices[one] <= 0.0 {
                continue;
            }
            let conductance = match flow {
                Some(flow) => conductance(link, flow, price),
                None => share * 0.5 * price * link.curve.slope()[0],
            };
            if conductance > 0.0 {
                self.diagonal[zero] += conductance;
                self.diagonal[one] += conductance;
                self.edges.push((zero, one, conductance));
            }
        }
        for token in 0..point.prices.len() {
            let left = point.left[token];
            self.gradient[token] = left * point.prices[token];
            self.given[token] = self.diagonal[token] <= 0.0;
            // Pools that are exhausted do not tell how far: what is left over falls, what is missing rises.
            self.moves[token] = if !self.given[token] || point.prices[token] <= 0.0 || dual.is_bound(point, token) {
                0.0
            } else if left > 0.0 {
                FALL
            } else {
                -left / (point.came[token] - left).max(f64::MIN_POSITIVE)
            };
            // So that tokens which nothing ties to a held one move too, and no pivot is 0.
            self.diagonal[token] *= 1.0 + 1e-12;
        }
    }

    /// The moves of the tokens that are free, the held ones at their least.
    fn solve(&mut self, is_held: &[bool]) {
        self.free.clear();
        for (token, &is_held) in is_held.iter().enumerate() {
            self.row[token] = HELD;
            if self.given[token] {
                continue;
            }
            if is_held {
                self.moves[token] = self.least[token];
            } else {
                self.row[token] = self.free.len();
                self.free.push(token);
            }
        }
        self.right.clear();
        self.right.extend(self.free.iter().map(|&token| -self.gradient[token]));
        for &(a, b, conductance) in &self.edges {
            match (self.row[a], self.row[b]) {
                (HELD, HELD) => {}
                (row, HELD) => self.right[row] += conductance * self.moves[b],
                (HELD, row) => self.right[row] += conductance * self.moves[a],
                _ => {}
            }
        }
        if self.free.len() <= DENSE {
            self.cholesky()
        } else {
            self.gradients()
        }
        for (&token, &by) in self.free.iter().zip(&self.right) {
            self.moves[token] = by;
        }
    }

    /// Solves in place by the Cholesky factor of the dense matrix, row by row.
    fn cholesky(&mut self) {
        let n = self.free.len();
        self.matrix.clear();
        self.matrix.resize(n * n, 0.0);
        for &(a, b, conductance) in &self.edges {
            let (a, b) = (self.row[a], self.row[b]);
            if a != HELD && b != HELD {
                self.matrix[a.max(b) * n + a.min(b)] -= conductance;
            }
        }
        for (row, &token) in self.free.iter().enumerate() {
            self.matrix[row * n + row] = self.diagonal[token];
        }
        for i in 0..n {
            let (done, rest) = self.matrix.split_at_mut(i * n);
            let row = &mut rest[..n];
            for j in 0..i {
                let other = &done[j * n..j * n + j + 1];
                row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
            }
            let pivot = row[i] - dot(&row[..i], &row[..i]);
            // A Laplacian's pivots are not negative but by rounding.
            row[i] = pivot.max(self.diagonal[self.free[i]] * 1e-14).sqrt();
            self.right[i] = (self.right[i] - dot(&row[..i], &self.right[..i])) / row[i];
        }
        for i in (0..n).rev() {
            let row = &self.matrix[i * n..i * n + i + 1];
            let x = self.right[i] / row[i];
            self.right[i] = x;
            for (right, factor) in self.right[..i].iter_mut().zip(row) {
                *right -= factor * x;
            }
        }
    }

    /// Solves by conjugate gradients with the diagonal as preconditioner.
    fn gradients(&mut self) {
        let n = self.free.len();
        let diagonal: Vec<f64> = self.free.iter().map(|&token| self.diagonal[token]).collect();
        let mut x = vec![0.0; n];
        let mut rest = self.right.clone();
        let mut direction: Vec<f64> = rest.iter().zip(&diagonal).map(|(rest, diagonal)| rest / diagonal).collect();
        let mut energy = dot(&rest, &direction);
        let enough = energy * 1e-28;
        let mut image = vec![0.0; n];
        for _ in 0..20 * n {
            if energy <= enough {
                break;
            }
            for (image, (direction, diagonal)) in image.iter_mut().zip(direction.iter().zip(&diagonal)) {
                *image = direction * diagonal;
            }
            for &(a, b, conductance) in &self.edges {
                let (a, b) = (self.row[a], self.row[b]);
                if a != HELD && b != HELD {
                    image[a] -= conductance * direction[b];
                    image[b] -= conductance * direction[a];
                }
            }
            let curvature = dot(&direction, &image);
            if curvature <= 0.0 {
                break;
            }
            let length = energy / curvature;
            let before = energy;
            energy = 0.0;
            for index in 0..n {
                x[index] += length * direction[index];
                rest[index] -= length * image[index];
                energy += rest[index] * rest[index] / diagonal[index];
            }
            for index in 0..n {
                direction[index] = rest[index] / diagonal[index] + energy / before * direction[index];
            }
        }
        self.right.copy_from_slice(&x);
    }
}

#[inline]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four sums at a time, so that the processor can.
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 4];
    for (a, b) in a4.zip(b4) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}
