//! How much to trade at once and how much to post where.

use crossbook::market::placement::{self as core, Outflow, Queue, Task};
use pyo3::prelude::*;

use crate::errors;

/// Market order, limit orders, expected cost, expected fills, expected rest.
type Placed = (i64, Vec<i64>, f64, Vec<f64>, f64);

/// Size ahead, rebate, mean of a Poisson outflow, or samples of it.
type Waiting = (i64, f64, Option<f64>, Vec<i64>);

#[pyfunction]
#[pyo3(signature = (*, size, half_spread, fee, impact, under, over, queues))]
#[allow(clippy::too_many_arguments)] // the numbers of one task
pub fn place(
    py: Python<'_>,
    size: i64,
    half_spread: f64,
    fee: f64,
    impact: f64,
    under: f64,
    over: f64,
    queues: Vec<Waiting>,
) -> PyResult<Placed> {
    let queue = |(ahead, rebate, mean, samples): Waiting| Queue {
        ahead,
        rebate,
        outflow: mean.map_or(Outflow::Empirical(samples), Outflow::Poisson),
    };
    let queues = queues.into_iter().map(queue).collect();
    let task = Task { size, half_spread, fee, impact, under, over, queues };
    let placed = py.detach(|| if task.queues.len() == 1 { core::single(&task) } else { core::place(&task) });
    let placed = placed.map_err(|error| errors::route(error.to_string(), None))?;
    Ok((placed.market, placed.limits, placed.cost, placed.filled, placed.unfilled))
}
