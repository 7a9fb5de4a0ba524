//! Order books: what rests at a venue.
//!
//! [`PriceBook`] holds the aggregated size per price (market by price) and answers the quote, the depth and the cost of
//! taking a size. It never loses a level, whatever the range of prices.

mod batch;
mod index;
mod ladder;
pub mod orders;
pub mod price;

pub use batch::{Every, TopRows};
pub use orders::{Order, OrderBook, OrderBookError, OrderLevel, Place};
pub use price::{Levels, PriceBook, Quote, Walk};
