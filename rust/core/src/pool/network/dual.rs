//! The dual of a network and its minimum.
//!
//! With token prices `ν` the dual is `g(ν) = (ν - c) · h + Σ arb(ν)` over `ν >= c`, where `arb` is what a pool's best trade
//! brings at those prices. Its gradient is `h + Ψ(ν)`; it is 0 where `ν > c` and not below 0 where `ν = c`.
//!
//! Scaled by the prices, the Hessian is a graph Laplacian: a pool that trades ties its two tokens with the conductance
//! `dΨ / d ln ν`, one that does not trade ties nothing. So [`System`] takes semismooth Newton steps, each the minimum of a
//! quadratic with a Laplacian over prices that stay above their lowest. Pools inside their band count with a share of what
//! they would have: at first the whole, so that no step runs across many bands at once, less after every full step, until
//! what is left is no more than regularisation.
//!
//! A float of a price is too coarse for a trade that is small against its pool: 10^-16 of the price moves 10^-16 of the
//! reserves. So the last steps are taken in amounts, with moves of prices that no price shows.

use super::super::curve::Flow;
use super::super::wide::to_f64;
use super::super::{Token, U256};
use super::system::System;
use super::{Link, Network, NetworkError, Objective};

/// Steps until one gives up. Tens are normal.
const MOST_STEPS: u32 = 500;
/// The gap between the bound and the value of the flows, against the volume, from which there is no optimum.
const SETTLED: f64 = 1e-6;
/// Above this residual, slow steps are not yet the noise of floats.
const COARSE: f64 = 1e-7;
/// A residual from which the last steps in amounts do the rest.
const EXACT: f64 = 1e-12;
/// The lowest price of a token without a value, against the one it begins with: what is left over counts for that much,
/// so that tokens which only lead to it keep something to be measured by. The bound does not count it. The lowest is
/// closest to the truth, but where pools run dry the worth of what leads to them may drown in the digits of the rest.
const WORTHLESS: [f64; 3] = [1e-9, 1e-6, 1e-4];
/// The least that a pool inside its band counts for.
const LEAST_SHARE: f64 = 1e-15;
/// A volume of so much of what the pools hold is nothing: a float of a price moves 10^-16 of it.
const NOTHING: f64 = 1e-10;

pub(super) struct Solved {
    pub prices: Vec<f64>,
    pub flows: Vec<Option<Flow>>,
    pub bound: f64,
    pub steps: u32,
    residual: f64,
}

pub(super) struct Dual<'a> {
    pub network: &'a Network,
    values: &'a [f64],
    holdings: Vec<f64>,
    /// The lowest price of each token.
    pub lowest: Vec<f64>,
    /// A volume that is nothing beside the pools.
    nothing: f64,
}

/// All that one evaluation gives.
#[derive(Clone)]
pub(super) struct Point {
    pub prices: Vec<f64>,
    pub flows: Vec<Option<Flow>>,
    /// `h + Ψ`.
    pub left: Vec<f64>,
    /// `h` and what comes in.
    pub came: Vec<f64>,
    value: f64,
    /// What is paid in, and the value: what errors are measured by.
    volume: f64,
}

pub(super) fn solve(network: &Network, objective: &Objective) -> Result<Solved, NetworkError> {
    let mut found = None;
    for worthless in WORTHLESS {
        let solved = attempt(network, objective, worthless);
        let residual = solved.as_ref().map_or(f64::MAX, |solved| solved.residual);
        if found.as_ref().is_none_or(|(least, _)| residual < *least) {
            found = Some((residual, solved));
        }
        if residual <= COARSE {
            break;
        }
    }
    found.map_or(Err(NetworkError::Value(0)), |(_, solved)| solved)
}

fn attempt(network: &Network, objective: &Objective, worthless: f64) -> Result<Solved, NetworkError> {
    let holdings: Vec<f64> = objective.holdings.iter().map(to_f64).collect();
    let mut dual = Dual { network, values: &objective.values, holdings, lowest: Vec::new(), nothing: 0.0 };
    let start = dual.start();
    dual.lowest = start.iter().zip(dual.values).map(|(start, value)| value.max(start * worthless)).collect();
    dual.nothing = dual.depth(&start) * NOTHING;
    let mut point = dual.new_point(start);
    let mut next = point.clone();
    dual.evaluate(&mut point);
    let mut system = System::new(network.tokens);
    let (mut share, mut steps, mut stalled) = (1.0, 0, 0);
    let mut best = (dual.residual(&point), point.clone());
    while best.0 > EXACT && stalled < if best.0 > COARSE { 60 } else { 3 } && steps < MOST_STEPS {
        steps += 1;
        let moves = system.step(&dual, &point, share);
        let mut length = 1.0;
        let accepted = loop {
            let mut promised = 0.0;
            for (index, &by) in moves.iter().enumerate() {
                let price = point.prices[index];
                let moved = (price * (1.0 + length * by)).max(dual.lowest[index]);
                next.prices[index] = moved;
                promised += point.left[index] * (moved - price);
            }
            dual.evaluate(&mut next);
            // Where floats cannot see the fall of the value, the residual decides.
            let noise = 1e-14 * (point.volume + point.value.abs());
            let falls = next.value <= point.value + 1e-4 * promised.min(0.0);
            let flat = next.value <= point.value + noise && promised.abs() <= noise * 1e3;
            if falls || flat {
                break true;
            }
            length *= 0.5;
            if length < 1e-9 {
                break false;
            }
        };
        share = if accepted && length == 1.0 { (share / 16.0).max(LEAST_SHARE) } else { (share * 4.0).min(1.0) };
        if accepted {
            std::mem::swap(&mut point, &mut next);
        }
        let residual = dual.residual(&point);
        // While pools inside their band still count, a group of tokens that only they tie to the rest moves slowly.
        if residual < 0.5 * best.0 {
            stalled = 0;
        } else if share <= LEAST_SHARE || best.0 > COARSE {
            stalled += 1;
        }
        if residual < best.0 {
            best.0 = residual;
            best.1.clone_from(&point);
        }
        if !accepted {
            if share >= 1.0 {
                break;
            }
            share = 1.0;
        }
    }
    let mut point = best.1;
    dual.polish(&mut point, &mut system);
    let bound = point.value.min(dual.bound_without_leftovers(&mut next, &point));
    let worth =
        |index: usize, left: f64| if left < 0.0 { left * point.prices[index] } else { left * dual.values[index] };
    let ends: f64 = point.left.iter().enumerate().map(|(index, &left)| worth(index, left)).sum();
    let begins: f64 = dual.values.iter().zip(&dual.holdings).map(|(value, held)| value * held).sum();
    let gap = (bound - (ends - begins)).abs();
    if gap.is_nan() || gap > SETTLED * point.volume {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
        return Err(NetworkError::Unsettled { gap_ppb: (gap / point.volume * 1e9) as u64, steps });
    }
    let residual = dual.residual(&point);
    Ok(Solved { residual, bound, prices: point.prices, flows: point.flows, steps })
}

impl Dual<'_> {
    /// Prices to begin with: the values of tokens that have one, carried through pools at their middle prices to those
    /// that have none; 0 where no way leads.
    fn start(&self) -> Vec<f64> {
        let tokens = self.network.tokens;
        let mut prices = self.values.to_vec();
        let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); tokens];
        for (index, link) in self.network.links.iter().enumerate() {
            link.tokens.iter().for_each(|&token| neighbours[token].push(index));
        }
        let mut queue: Vec<usize> = (0..tokens).filter(|&token| prices[token] > 0.0).collect();
        let mut deepest = vec![(0.0, 0.0); tokens];
        let mut at = 0;
        while let Some(&token) = queue.get(at) {
            at += 1;
            // Of several pools between two tokens the deepest tells the price best.
            let first = queue.len();
            for &index in &neighbours[token] {
                let link = &self.network.links[index];
                let side = usize::from(link.tokens[1] == token);
                let other = link.tokens[1 - side];
                let depth = link.curve.slope()[side];
                if prices[other] == 0.0 {
                    deepest[other] = (-1.0, 0.0);
                    prices[other] = f64::NAN; // found, its price still open
                    queue.push(other);
                }
                if prices[other].is_nan() && depth > deepest[other].0 {
                    // The price of token 0 is that of token 1 times the pool's.
                    let mid = link.curve.mid();
                    deepest[other] = (depth, if side == 1 { prices[token] * mid } else { prices[token] / mid });
                }
            }
            queue[first..].iter().for_each(|&other| prices[other] = deepest[other].1);
        }
        prices
    }

    /// The dual's value where what is left over, and what only leads to it, counts for next to nothing: any prices bound.
    fn bound_without_leftovers(&self, next: &mut Point, point: &Point) -> f64 {
        for (index, price) in next.prices.iter_mut().enumerate() {
            let (at, lowest) = (point.prices[index], self.lowest[index]);
            *price = if self.values[index] == 0.0 && at < lowest * 1e3 { at * 1e-9 } else { at };
        }
        self.evaluate(next);
        next.value
    }

    /// What the pools hold, roughly: twice the worth of token 1, were liquidity spread over all prices.
    fn depth(&self, prices: &[f64]) -> f64 {
        let links = self.network.links.iter();
        links.map(|link| 2.0 * prices[link.tokens[1]] * link.curve.slope()[1]).sum()
    }

    fn new_point(&self, prices: Vec<f64>) -> Point {
        let (left, came) = (vec![0.0; prices.len()], vec![0.0; prices.len()]);
        Point { prices, flows: vec![None; self.network.links.len()], left, came, value: 0.0, volume: 0.0 }
    }

    fn evaluate(&self, point: &mut Point) {
        point.left.copy_from_slice(&self.holdings);
        point.came.copy_from_slice(&self.holdings);
        let (mut value, mut spent_in_all) = (0.0, 0.0);
        for (index, &held) in self.holdings.iter().enumerate() {
            value += (point.prices[index] - self.values[index]) * held;
        }
        for (link, flow) in self.network.links.iter().zip(&mut point.flows) {
            let prices = link.tokens.map(|token| point.prices[token]);
            // A token that is worth nothing anywhere is traded nowhere.
            *flow = if prices[0] > 0.0 && prices[1] > 0.0 { link.curve.arbitrage(prices[0] / prices[1]) } else { None };
            if let Some(flow) = flow {
                let (paid, got) = (flow.token_in as usize, flow.token_in.other() as usize);
                let spent = flow.amount_in * prices[paid];
                value += flow.amount_out * prices[got] - spent;
                spent_in_all += spent;
                point.left[link.tokens[paid]] -= flow.amount_in;
                point.left[link.tokens[got]] += flow.amount_out;
                point.came[link.tokens[got]] += flow.amount_out;
            }
        }
        (point.value, point.volume) = (value, spent_in_all + value + self.nothing);
    }

    /// Moves the amounts of the pools that trade until what is paid in of every token is there, as a step of the prices
    /// would, and takes what comes out from the curve. The value, a bound at whatever prices, stays.
    fn polish(&self, point: &mut Point, system: &mut System) {
        for _ in 0..4 {
            self.balance(point);
            if self.residual(point) <= 1e-15 {
                return;
            }
            let moves = system.balance(self, point);
            for (link, flow) in self.network.links.iter().zip(&mut point.flows) {
                if let Some(flow) = flow {
                    let apart = moves[link.tokens[0]] - moves[link.tokens[1]];
                    let paid = flow.token_in as usize;
                    let by =
                        conductance(link, flow, point.prices[link.tokens[0]]) * apart / point.prices[link.tokens[paid]];
                    let by = if flow.token_in == Token::Zero { -by } else { by };
                    // Beyond a tenth it is no polish, and the first order no longer holds.
                    flow.amount_in += by.clamp(-0.1 * flow.amount_in, 0.1 * flow.amount_in);
                }
            }
        }
        self.balance(point);
    }

    /// Takes outputs from the curves and sums up what is left of each token.
    fn balance(&self, point: &mut Point) {
        point.left.copy_from_slice(&self.holdings);
        for (link, flow) in self.network.links.iter().zip(&mut point.flows) {
            if let Some(flow) = flow {
                flow.amount_out = link.curve.output(flow.token_in, flow.amount_in);
                point.left[link.tokens[flow.token_in as usize]] -= flow.amount_in;
                point.left[link.tokens[flow.token_in.other() as usize]] += flow.amount_out;
            }
        }
    }

    /// Whether a token stays at its lowest price.
    pub fn is_bound(&self, point: &Point, token: usize) -> bool {
        point.prices[token] <= 0.0 || (point.prices[token] <= self.lowest[token] && point.left[token] >= 0.0)
    }

    /// How far from an optimum: the worth of the largest amount that is left over where none should be, against all that
    /// is traded, or the largest amount that is missing, against what there is of it.
    fn residual(&self, point: &Point) -> f64 {
        let mut worst = 0.0_f64;
        for token in 0..point.prices.len() {
            if self.is_bound(point, token) {
                continue;
            }
            let left = point.left[token];
            worst = worst.max(if left > 0.0 {
                left * (point.prices[token] - self.lowest[token]) / point.volume
            } else if left < 0.0 {
                let there = point.came[token] - left + self.nothing / point.prices[token];
                (-left * point.prices[token] / point.volume).max(-left / there)
            } else {
                0.0
            });
        }
        worst
    }
}

/// `ν0 dy0 / d ln ν0` of a pool that trades: half the slope, and what is paid in carries the fee.
#[inline]
pub(super) fn conductance(link: &Link, flow: &Flow, price: f64) -> f64 {
    let half = 0.5 * price * flow.slope[0];
    if flow.token_in == Token::Zero { half / link.curve.factor() } else { half }
}

/// A float as a whole amount, rounded down.
pub(super) fn whole(amount: f64) -> Option<U256> {
    U256::try_from(amount.floor()).ok()
}
