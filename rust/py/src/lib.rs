//! `crossbook._core`: the engine as Python sees it. Conversion only.

mod book;
mod capture;
mod cost;
mod crosses;
mod cycles;
mod depths;
mod errors;
mod exchange;
mod feed;
mod instrument;
mod latency;
mod market;
mod order_book;
mod placement;
mod pool;
mod route;
mod stats;
mod table;
mod tape;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("DEBUG_BUILD", cfg!(debug_assertions))?;
    m.add_class::<book::PriceBook>()?;
    m.add_class::<order_book::OrderBook>()?;
    m.add_class::<instrument::Instrument>()?;
    m.add_class::<market::Market>()?;
    m.add_class::<market::MarketQuote>()?;
    m.add_class::<crosses::CrossScan>()?;
    m.add_class::<cycles::Cycles>()?;
    m.add_class::<route::Route>()?;
    m.add_class::<route::RouteLeg>()?;
    m.add_class::<route::RouteSwap>()?;
    m.add_class::<capture::Replay>()?;
    m.add_class::<cost::CostSchedule>()?;
    m.add_class::<capture::CaptureWriter>()?;
    m.add_class::<feed::Session>()?;
    m.add_class::<table::Table>()?;
    m.add_class::<tape::Tape>()?;
    m.add_function(wrap_pyfunction!(capture::identify, m)?)?;
    m.add_function(wrap_pyfunction!(capture::survey, m)?)?;
    m.add_function(wrap_pyfunction!(capture::listed, m)?)?;
    m.add_function(wrap_pyfunction!(feed::protocols, m)?)?;
    m.add_function(wrap_pyfunction!(feed::current_protocol, m)?)?;
    m.add_function(wrap_pyfunction!(feed::list_instruments, m)?)?;
    m.add_function(wrap_pyfunction!(cost::highest_base_fee, m)?)?;
    m.add_function(wrap_pyfunction!(cost::next_base_fee, m)?)?;
    m.add_function(wrap_pyfunction!(market::crosses, m)?)?;
    m.add_function(wrap_pyfunction!(cycles::market_cycles, m)?)?;
    m.add_function(wrap_pyfunction!(order_book::follow, m)?)?;
    m.add_function(wrap_pyfunction!(placement::place, m)?)?;
    m.add("LATENCY_RUN", crossbook::latency::RUN)?;
    m.add_function(wrap_pyfunction!(latency::latencies, m)?)?;
    exchange::register(m)?;
    pool::register(m)?;
    depths::register(m)?;
    stats::register(m)
}
