//! Events that are seen later than they happen.

use super::scan::Scan;
use crate::event::Event;

/// Runs events through a scan, each as it happens at `happened[i]` and as it is seen at `seen[i]` (ns, one clock). Within
/// an instrument the order of the events stands: one that would overtake its predecessor comes with it. Nothing is seen
/// before it happens. Rows beyond the shortest of the three are passed over.
pub fn run_delayed(scan: &mut Scan, events: &[Event], happened: &[i64], seen: &[i64]) {
    let rows = events.len().min(happened.len()).min(seen.len());
    let instruments = events.iter().map(|event| event.instrument as usize + 1).max().unwrap_or_default();
    // Numbers of instruments come from tapes and are small; one that is not has no venue either.
    let known = instruments.min(1 << 16);
    let mut latest = vec![[i64::MIN; 2]; known];
    let mut times = Vec::with_capacity(rows);
    for ((event, happened), seen) in events.iter().zip(happened).zip(seen) {
        let (mut at, mut shown) = (*happened, *happened.max(seen));
        if let Some([last, last_shown]) = latest.get_mut(event.instrument as usize) {
            (at, shown) = (at.max(*last), shown.max(*last_shown));
            (*last, *last_shown) = (at, shown);
        }
        times.push((at, shown));
    }
    let sorted = |of: fn(&(i64, i64)) -> i64| {
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by_key(|row| times.get(*row).map_or(i64::MAX, of));
        order
    };
    let (first, second) = (sorted(|times| times.0), sorted(|times| times.1));
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    loop {
        let next = first.peek().and_then(|row| times.get(*row)).map(|times| times.0);
        let shown = second.peek().and_then(|row| times.get(*row)).map(|times| times.1);
        match (next, shown) {
            (Some(at), shown) if shown.is_none_or(|shown| at <= shown) => {
                if let Some(event) = first.next().and_then(|row| events.get(row)) {
                    scan.happen(event, at);
                }
            }
            (_, Some(at)) => {
                if let Some(event) = second.next().and_then(|row| events.get(row)) {
                    scan.see(event, at);
                }
            }
            (_, None) => return,
        }
    }
}
