//! From flows in floats to trades in whole amounts that can be carried out.
//!
//! Each pool is asked, exactly, for what its part gives. Inputs are rounded down, outputs come rounded down from the pool,
//! and floats err in both, so a token may be overdrawn by a little. Then an input of it is cut, by what is missing: first
//! that of the trade which leads to a token with something to spare, so that the loss travels there and ends.

use super::super::{PoolError, Token, Trade, U256};
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

    /// One trade instead of another with the same pool.
    fn replace(&mut self, tokens: [usize; 2], old: &Trade, new: Option<&Trade>) {
        let (from, to) = (tokens[old.token_in as usize], tokens[old.token_in.other() as usize]);
        self.paid[from] -= old.amount_in;
        self.got[to] -= old.amount_out;
        if let Some(new) = new {
            self.paid[from] += new.amount_in;
            self.got[to] += new.amount_out;
        }
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
            let amount = whole(flow.amount_in).unwrap_or(U256::ZERO);
            trades[index] = exact(network, index, flow.token_in, &amount)?;
        }
    }
    let mut books = Books::new(network, &trades);
    for _ in 0..MOST_ROUNDS {
        if !cut(network, objective, &mut trades, &mut books)? {
            let done = trades.into_iter().enumerate();
            return Ok(done.filter_map(|(index, trade)| trade.map(|trade| (index, trade))).collect());
        }
    }
    Ok(Vec::new()) // nothing that is worth more than its rounding
}

/// Cuts every token that is overdrawn once, those farthest from a surplus first. Says whether there was one.
fn cut(
    network: &Network,
    objective: &Objective,
    trades: &mut [Option<Trade>],
    books: &mut Books,
) -> Result<bool, NetworkError> {
    let held = &objective.holdings;
    if (0..network.tokens).all(|token| books.missing(token, &held[token]).is_zero()) {
        return Ok(false);
    }
    let distance = distances(network, objective, trades, books);
    let mut order: Vec<usize> = (0..network.tokens).collect();
    order.sort_by_key(|&token| std::cmp::Reverse(distance[token]));
    // The trades that pay each token in.
    let mut payers: Vec<Vec<usize>> = vec![Vec::new(); network.tokens];
    for (index, trade) in trades.iter().enumerate() {
        if let Some(trade) = trade {
            payers[network.links[index].tokens[trade.token_in as usize]].push(index);
        }
    }
    for token in order {
        let mut missing = books.missing(token, &held[token]);
        if missing.is_zero() {
            continue;
        }
        // Those nearest to a surplus first, the largest of equals.
        let mut ranked: Vec<(usize, std::cmp::Reverse<U256>, usize)> = Vec::new();
        for &index in &payers[token] {
            if let Some(trade) = &trades[index] {
                let to = network.links[index].tokens[trade.token_in.other() as usize];
                ranked.push((distance[to], std::cmp::Reverse(trade.amount_in), index));
            }
        }
        ranked.sort_unstable();
        for (_, std::cmp::Reverse(amount), index) in ranked {
            if missing.is_zero() {
                break;
            }
            let Some(trade) = trades[index] else { continue };
            let by = missing.min(amount);
            missing -= by;
            let less = exact(network, index, trade.token_in, &(amount - by))?;
            books.replace(network.links[index].tokens, &trade, less.as_ref());
            trades[index] = less;
        }
    }
    Ok(true)
}

/// What a pool really gives, if that is anything.
fn exact(network: &Network, pool: usize, token_in: Token, amount: &U256) -> Result<Option<Trade>, NetworkError> {
    if amount.is_zero() {
        return Ok(None);
    }
    let quote = |amount: &U256| network.links[pool].pool.quote_in(token_in, amount);
    let trade = match quote(amount) {
        // A float of all that the pool takes may be more than that.
        Err(PoolError::Exhausted { available, .. }) if !available.is_zero() => quote(&available),
        trade => trade,
    };
    let trade = trade.map_err(|error| NetworkError::Pool { pool, error })?;
    Ok((!trade.amount_out.is_zero()).then_some(trade))
}

/// How many trades lead from each token to one with something to spare.
fn distances(network: &Network, objective: &Objective, trades: &[Option<Trade>], books: &Books) -> Vec<usize> {
    let mut distance = vec![usize::MAX; network.tokens];
    // What each token is paid for with.
    let mut sources: Vec<Vec<usize>> = vec![Vec::new(); network.tokens];
    for (link, trade) in network.links.iter().zip(trades) {
        if let Some(trade) = trade {
            let (from, to) = (trade.token_in as usize, trade.token_in.other() as usize);
            sources[link.tokens[to]].push(link.tokens[from]);
        }
    }
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
        for &from in &sources[token] {
            if distance[from] == usize::MAX {
                distance[from] = distance[token] + 1;
                queue.push(from);
            }
        }
    }
    distance
}
