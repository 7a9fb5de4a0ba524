//! The engine inside a Rust program: raw frames in, one market of two venues out.

use crossbook::feed::{Protocol, Session};
use crossbook::instrument::{Instrument, Venue};
use crossbook::market::Market;
use crossbook::tape::Tape;
use crossbook::units::Nanos;

/// What a socket would hand over: who sent it, when it was received (ns), the raw text.
const FRAMES: [(usize, i64, &str); 3] = [
    (0, 1_000, r#"{"lastUpdateId":7,"bids":[["61800.10","2.5"]],"asks":[["61800.20","1.5"]]}"#),
    (1, 2_000, r#"{"u":9,"s":"BTCUSDT","b":"61799.98","B":"0.4","a":"61799.99","A":"1.2"}"#),
    (0, 3_000, r#"{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":7,"u":8,"pu":6,"b":[["61800.10","0"]],"a":[]}"#),
];

/// Plays the frames and prints the touch of each venue after each.
pub fn main() {
    let known = |venue| Instrument::builtin(venue, "BTCUSDT").expect("a built-in instrument");
    let instruments = vec![known(Venue::BinanceUsdm), known(Venue::BinanceSpot)];
    let mut feeds: Vec<_> = instruments
        .iter()
        .zip(0..)
        .map(|(one, index)| Session::new(Protocol::current(one.venue).expect("a feed"), [(index, one)]))
        .collect();
    let mut market = Market::new(instruments).expect("two claims on one currency");
    let mut tape = Tape::default();
    for (feed, received, frame) in FRAMES {
        tape.clear();
        feeds[feed].on_frame(Nanos(received), frame.as_bytes(), &mut tape).expect("a frame of the venue");
        for event in tape.view().iter() {
            market.apply(&event);
        }
        for venue in market.venues() {
            println!(
                "{:>6} ns  {:<22} {:?}",
                received,
                venue.instrument().name(),
                venue.touch().map(|touch| touch.quote)
            );
        }
    }
}
