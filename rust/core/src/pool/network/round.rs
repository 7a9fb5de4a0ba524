//! From flows in floats to trades in whole amounts that can be carried out.
//!
//! Each pool is asked, exactly, for what its part gives. Inputs are rounded down, outputs come rounded down from the pool,
//! and floats err in both, so a token may be overdrawn by a little. Then an input of it is cut, by what is missing: first
//! that of the trade which leads to a token with something to spare, so that the loss travels there and ends.

use super::super::{PoolError, Trade, U256};
use super::dual::whole;
use super::{Network, NetworkError, Objective};
use crate::pool::curve::Flow;

/// Rounds of cuts until one gives up and trades nothing.
const MOST_ROUNDS: usize = 256;

/// What was paid and got of each token.
struct Books {
    paid: Vec<U256>,
    got: Vec<U256>,
}

impl Books {
    fn new(network: &Network, trades: &[Option<Trade>]) -> Self {
        let mut books = Self { paid: vec![U256::ZERO; network.tokens], got: vec![U256::ZERO; network.tokens] };
        for (link, trade) in network.links.iter().zip(trades) {
            if let Some(trade) = trade {
                books.paid[link.tokens[trade.token_in as usize]] += trade.amount_in;
                books.got[link.tokens[trade.token_in.other() as usize]] += trade.amount_out;
            }
        }
        books
    }

    /// What is overdrawn of a token that there was so much of.
    fn missing(&self, token: usize, held: &U256) -> U256 {
        self.paid[token].saturating_sub(self.got[token].saturating_add(*held))
    }
}

pub(super) fn net(network: &Network, trades: &[(usize, Trade)]) -> Vec<(U256, U256)> {
    let mut all = vec![None; network.links.len()];
    trades.iter().for_each(|(index, trade)| all[*index] = Some(*trade));
    let books = Books::new(network, &all);
    let pairs = books.got.iter().zip(&books.paid);
    pairs.map(|(got, paid)| (got.saturating_sub(*paid), paid.saturating_sub(*got))).collect()
}

pub(super) fn trades(
    network: &Network,
    objective: &Objective,
    flows: &[Option<Flow>],
) -> Result<Vec<(usize, Trade)>, NetworkError> {
    let mut trades = vec![None; flows.len()];
    for (index, flow) in flows.iter().enumerate() {
        if let Some(flow) = flow {
            trades[index] = ask(network, index, flow, whole(flow.amount_in).unwrap_or(U256::ZERO))?;
        }
    }
    for _ in 0..MOST_ROUNDS {
        if !cut(network, objective, &mut trades)? {
            let done = trades.into_iter().enumerate();
            return Ok(done.filter_map(|(index, trade)| trade.map(|trade| (index, trade))).collect());
        }
    }
    Ok(Vec::new()) // nothing that is worth more than its rounding
}

fn ask(network: &Network, pool: usize, flow: &Flow, amount: U256) -> Result<Option<Trade>, NetworkError> {
    if amount.is_zero() {
        return Ok(None);
    }
    let quote = |amount| network.links[pool].pool.quote_in(flow.token_in, amount);
    let trade = match quote(&amount) {
        // A float of all that the pool takes may be more than that.
        Err(PoolError::Exhausted { available, .. }) if !available.is_zero() => quote(&available),
        trade => trade,
    };
    let trade = trade.map_err(|error| NetworkError::Pool { pool, error })?;
    Ok((!trade.amount_out.is_zero()).then_some(trade))
}

/// Cuts every token that is overdrawn once, those farthest from a surplus first. Says whether there was one.
fn cut(network: &Network, objective: &Objective, trades: &mut [Option<Trade>]) -> Result<bool, NetworkError> {
    let books = Books::new(network, trades);
    let missing = |token: usize| books.missing(token, &objective.holdings[token]);
    if (0..network.tokens).all(|token| missing(token).is_zero()) {
        return Ok(false);
    }
    let distance = distances(network, objective, trades, &books);
    let mut order: Vec<usize> = (0..network.tokens).collect();
    order.sort_by_key(|&token| std::cmp::Reverse(distance[token]));
    for token in order {
        let mut missing = Books::new(network, trades).missing(token, &objective.holdings[token]);
        // Trades that pay this token in, the one nearest to a surplus first, the largest of equals.
        let mut payers: Vec<(usize, usize, U256)> = Vec::new();
        for (index, trade) in trades.iter().enumerate() {
            if let Some(trade) = trade.filter(|trade| network.links[index].tokens[trade.token_in as usize] == token) {
                let to = network.links[index].tokens[trade.token_in.other() as usize];
                payers.push((distance[to], index, trade.amount_in));
            }
        }
        payers.sort_by_key(|&(distance, index, amount)| (distance, std::cmp::Reverse(amount), index));
        for (_, index, amount) in payers {
            if missing.is_zero() {
                break;
            }
            let by = missing.min(amount);
            missing -= by;
            let Some(trade) = trades[index] else { continue };
            let rest = amount - by;
            trades[index] = if rest.is_zero() {
                None
            } else {
                let cut = network.links[index].pool.quote_in(trade.token_in, &rest);
                let cut = cut.map_err(|error| NetworkError::Pool { pool: index, error })?;
                (!cut.amount_out.is_zero()).then_some(cut)
            };
        }
    }
    Ok(true)
}

/// How many trades lead from each token to one with something to spare.
fn distances(network: &Network, objective: &Objective, trades: &[Option<Trade>], books: &Books) -> Vec<usize> {
    let mut distance = vec![usize::MAX; network.tokens];
    let mut queue: Vec<usize> = (0..network.tokens)
        .filter(|&token| {
            let spare = books.got[token].saturating_add(objective.holdings[token]) > books.paid[token];
            objective.values[token] > 0.0 && spare
        })
        .collect();
    queue.iter().for_each(|&token| distance[token] = 0);
    let mut at = 0;
    while let Some(&token) = queue.get(at) {
        at += 1;
        for (link, trade) in network.links.iter().zip(trades) {
            let Some(trade) = trade else { continue };
            let from = link.tokens[trade.token_in as usize];
            if link.tokens[trade.token_in.other() as usize] == token && distance[from] == usize::MAX {
                distance[from] = distance[token] + 1;
                queue.push(from);
            }
        }
    }
    distance
}
