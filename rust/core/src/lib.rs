//! Order books and a cross-venue matching core for microsecond updates.
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate self as crossbook; // test helpers that integration tests include too

pub mod book;
pub mod capture;
pub mod cost;
pub mod event;
pub mod exchange;
pub mod feed;
pub mod instrument;
pub mod latency;
pub mod market;
pub mod pool;
pub mod stats;
pub mod tape;
pub mod units;
