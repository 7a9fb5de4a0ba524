//! Sums in sixteen lanes, so that none waits for another however wide the processor's vectors are, always added in the same
//! order.

const LANES: usize = 16;

/// The lanes together, halves upon halves.
fn all(mut lanes: [f64; LANES]) -> f64 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The sum.
pub(super) fn sum(x: &[f64]) -> f64 {
    let (x, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for x in x {
        for lane in 0..LANES {
            lanes[lane] += x[lane];
        }
    }
    all(lanes) + rest.iter().sum::<f64>()
}

/// The inner product.
pub(super) fn dot(x: &[f64], y: &[f64]) -> f64 {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    all(lanes) + x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum::<f64>()
}

/// Two inner products with `x`, each summed as [`dot`] sums.
pub(super) fn dots(x: &[f64], y: &[f64], z: &[f64]) -> [f64; 2] {
    let ((x, x_rest), (y, y_rest), (z, z_rest)) =
        (x.as_chunks::<LANES>(), y.as_chunks::<LANES>(), z.as_chunks::<LANES>());
    let (mut one, mut two) = ([0.0; LANES], [0.0; LANES]);
    for ((x, y), z) in x.iter().zip(y).zip(z) {
        for lane in 0..LANES {
            one[lane] += x[lane] * y[lane];
            two[lane] += x[lane] * z[lane];
        }
    }
    let rest = |y: &[f64]| x_rest.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    [all(one) + rest(y_rest), all(two) + rest(z_rest)]
}
