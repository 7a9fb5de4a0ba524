//! Crossbook core.
#![forbid(unsafe_code)]

pub mod book;
pub mod event;
pub mod stats;
pub mod units;
