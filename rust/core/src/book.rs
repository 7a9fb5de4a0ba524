//! Order books: what rests at a venue.
//!
//! [`PriceBook`] holds the aggregated size per price (market by price) and answers the quote, the depth and the cost of
//! taking a size. It never loses a level, whatever the range of prices.
//!
//! [`OrderBook`] holds every order in its queue (market by order), and [`follow`] tells where one order stood over time.

mod batch;
mod follow;
mod index;
mod ladder;
pub mod orders;
pub mod price;

pub use batch::{Every, TopRows};
pub use follow::{ApplyError, Positions, Unknown, apply_tapes, follow};
pub use orders::{Order, OrderBook, OrderBookError, OrderLevel, Place};
pub use price::{Levels, PriceBook, Quote, Walk};
