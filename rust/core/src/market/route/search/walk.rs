//! The relaxation: what is cheapest is taken, what is dearer than something left is given back.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::super::RouteError;
use super::super::runs::{Lots, Slope, Source};
use super::{Bounds, Mode, Router, run_of};

/// From so many venues on the first walk keeps them in a heap.
const MANY: usize = 24;
/// How many runs a guess of the dual price goes down at most.
const FARTHEST: usize = 6;

/// A venue in the heap of the first walk, cheapest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry(Slope, usize);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap's greatest is the cheapest; of equals the first venue.
        if self.0.is_below(other.0) {
            Ordering::Greater
        } else if other.0.is_below(self.0) {
            Ordering::Less
        } else {
            other.1.cmp(&self.1)
        }
    }
}

impl Router {
    /// The venue at the margin: the cheapest that comes next.
    #[inline]
    pub(super) fn margin(&self) -> usize {
        let (mut best, mut slope) = (0, Slope::MAX);
        for (venue, place) in self.places.iter().enumerate() {
            let cheaper = place.up.is_below(slope);
            // Of equals one that still fits.
            if cheaper
                || (place.up_size <= self.left && !slope.is_below(place.up) && self.places[best].up_size > self.left)
            {
                (best, slope) = (venue, place.up);
            }
        }
        best
    }

    /// The dual price of the last walk.
    pub(super) fn marginal(&self) -> Slope {
        if self.left > 0
            && let Some(place) = self.places.get(self.margin())
        {
            return place.up;
        }
        let downs = self.places.iter().filter_map(|place| place.down);
        downs.reduce(|most, down| if most.is_below(down) { down } else { most }).unwrap_or(Slope::MAX)
    }

    /// Takes what is cheapest until less than a unit is left, from nothing: no venue has to give back.
    pub(super) fn first_walk(&mut self, source: &mut impl Source) -> Result<(), RouteError> {
        self.sweep(source)?;
        if self.places.len() < MANY {
            return self.first_walk_of_few(source);
        }
        let mut entries = std::mem::take(&mut self.heap);
        entries.clear();
        entries.extend(self.places.iter().enumerate().map(|(venue, place)| Entry(place.up, venue)));
        let mut heap = BinaryHeap::from(entries);
        let outcome = loop {
            let Some(mut top) = heap.peek_mut() else { break Ok(()) };
            let venue = top.1;
            if self.places[venue].up == Slope::MAX || self.places[venue].up_size > self.left {
                break Ok(());
            }
            if let Err(error) = self.take(venue, source) {
                break Err(error);
            }
            top.0 = self.places[venue].up;
        };
        self.heap = heap.into_vec();
        outcome
    }

    /// Comes near the dual price by bisection. A guess is the price of a run some way down the ladder of the venue that is
    /// the cheapest: twice as far each time, until all venues together trade too much below it; then half as far.
    fn sweep(&mut self, source: &mut impl Source) -> Result<(), RouteError> {
        let (mut reach, mut grows) = (1, true);
        while reach > 0 {
            let mut guide = None;
            for (venue, place) in self.places.iter().enumerate() {
                if guide.is_none_or(|(_, least)| place.up.is_below(least)) {
                    guide = Some((venue, place.up));
                }
            }
            let Some((guide, up)) = guide.filter(|(_, up)| *up != Slope::MAX) else { return Ok(()) };
            let (lots, wanted) = (&mut self.venues[guide], self.places[guide].run + reach - 1);
            while lots.runs.len() <= wanted && lots.pull(guide, source)? {}
            let last = wanted.min(lots.runs.len() - 1);
            let price = lots.runs[last].slope;
            let price = if price.is_below(up) { up } else { price };
            let before = (self.left, self.cost);
            self.saved.clear();
            self.saved.extend(self.places.iter().map(|place| (place.lots, place.run)));
            for venue in 0..self.places.len() {
                self.take_to(venue, price, source)?;
                if self.left < 0 {
                    break;
                }
            }
            if self.left >= 0 {
                reach = if grows { (2 * reach).min(FARTHEST) } else { reach / 2 };
                continue;
            }
            (grows, reach) = (false, reach / 2);
            (self.left, self.cost) = before;
            for venue in 0..self.places.len() {
                let (lots, run) = self.saved[venue];
                let place = &mut self.places[venue];
                if place.lots != lots {
                    (place.lots, place.run) = (lots, run);
                    self.look_down(venue);
                    self.look_up(venue, source)?;
                }
            }
        }
        Ok(())
    }

    /// Takes of a venue all runs up to a price.
    #[inline]
    fn take_to(&mut self, venue: usize, price: Slope, source: &mut impl Source) -> Result<(), RouteError> {
        if price.is_below(self.places[venue].up) {
            return Ok(());
        }
        if self.places[venue].bounds.mode == Mode::Open && self.places[venue].lots == 0 {
            let hull = self.places[venue].hull;
            self.set(venue, hull, source)?;
            if price.is_below(self.places[venue].up) {
                return Ok(());
            }
        }
        let (place, lots) = (&mut self.places[venue], &mut self.venues[venue]);
        let mut run = place.run;
        let next = loop {
            run += 1;
            if run == lots.runs.len() && !lots.pull(venue, source)? {
                break None;
            }
            let slope = lots.runs[run].slope;
            if price.is_below(slope) {
                break Some(slope);
            }
        };
        let (from, last) = (&lots.runs[place.run], &lots.runs[run - 1]);
        let count = last.lots_before + last.lots;
        let taken = count - place.lots;
        self.cost += last.cost_before - from.cost_before + i128::from(last.lots) * last.cost
            - i128::from(place.lots - from.lots_before) * from.cost;
        self.left -= taken * lots.lot;
        (place.lots, place.run, place.down) = (count, run, Some(last.slope));
        (place.up, place.up_size) = next.map_or((Slope::MAX, i64::MAX), |slope| (slope, lots.lot));
        Ok(())
    }

    /// The same without a heap: the cheapest venue is taken from until the second cheapest is cheaper.
    fn first_walk_of_few(&mut self, source: &mut impl Source) -> Result<(), RouteError> {
        loop {
            let (mut best, mut first, mut second) = (0, Slope::MAX, Slope::MAX);
            for (venue, place) in self.places.iter().enumerate() {
                if place.up.is_below(first) {
                    (best, first, second) = (venue, place.up, first);
                } else if place.up.is_below(second) {
                    second = place.up;
                }
            }
            if first == Slope::MAX {
                return Ok(());
            }
            loop {
                if self.places[best].up_size > self.left {
                    return Ok(());
                }
                self.take(best, source)?;
                if !self.places[best].up.is_below(second) {
                    break;
                }
            }
        }
    }

    /// Takes and gives back until no venue takes anything dearer than what another has left, and less than one more unit
    /// of the cheapest is left.
    pub(super) fn walk(&mut self, source: &mut impl Source) -> Result<(), RouteError> {
        loop {
            let next = self.margin();
            let Some(place) = self.places.get(next) else { return Ok(()) };
            let (up, up_size) = (place.up, place.up_size);
            let mut last: Option<(usize, Slope)> = None;
            for (venue, place) in self.places.iter().enumerate() {
                if let Some(down) = place.down
                    && last.is_none_or(|(_, most)| most.is_below(down))
                {
                    last = Some((venue, down));
                }
            }
            match last {
                Some((venue, down)) if self.left < 0 || up.is_below(down) => self.give(venue, source)?,
                _ if up != Slope::MAX && up_size <= self.left => self.take(next, source)?,
                _ => return Ok(()),
            }
        }
    }

    /// Takes of a venue what fits of its next run.
    #[inline]
    pub(super) fn take(&mut self, venue: usize, source: &mut impl Source) -> Result<(), RouteError> {
        let (place, lots) = (&mut self.places[venue], &self.venues[venue]);
        if place.bounds.mode == Mode::Open && place.lots == 0 {
            let hull = place.hull;
            return self.set(venue, hull, source);
        }
        let run = &lots.runs[place.run];
        let end = (run.lots_before + run.lots).min(place.bounds.high);
        let fits = if lots.lot == 1 { self.left } else { self.left / lots.lot };
        let count = (end - place.lots).min(fits);
        place.lots += count;
        self.left -= count * lots.lot;
        self.cost += run.cost * i128::from(count);
        place.down = Some(run.slope);
        if place.lots == run.lots_before + run.lots {
            place.run += 1;
        }
        self.look_up(venue, source)
    }

    /// Gives back what a venue took last: of a run all, or what is taken too much.
    fn give(&mut self, venue: usize, source: &mut impl Source) -> Result<(), RouteError> {
        let (place, lots) = (&self.places[venue], &self.venues[venue]);
        if place.bounds.mode == Mode::Open && place.lots <= place.hull {
            return self.set(venue, 0, source);
        }
        let run = &lots.runs[run_of(lots, place.lots - 1)];
        let least = if place.bounds.mode == Mode::Open { place.hull } else { place.bounds.low };
        let mut to = run.lots_before.max(least);
        if self.left < 0 {
            let over = (-self.left - 1) / lots.lot + 1;
            to = to.max(place.lots.saturating_sub(over));
        }
        self.set(venue, to, source)
    }

    /// Lets a venue trade so many lots.
    pub(super) fn set(&mut self, venue: usize, count: i64, source: &mut impl Source) -> Result<(), RouteError> {
        let lots = &mut self.venues[venue];
        while lots.lots < count && lots.pull(venue, source)? {}
        let count = count.min(lots.lots);
        let place = &mut self.places[venue];
        let total = |lots: &Lots, count: i64| {
            if count == 0 { 0 } else { lots.fixed + lots.cost_of(count, run_of(lots, count - 1)) }
        };
        self.cost += total(lots, count) - total(lots, place.lots);
        self.left -= (count - place.lots) * lots.lot;
        place.lots = count;
        place.run = run_of(lots, count);
        self.look_down(venue);
        self.look_up(venue, source)
    }

    /// What a venue's last unit cost, if it can be given back.
    fn look_down(&mut self, venue: usize) {
        let (place, lots) = (&mut self.places[venue], &self.venues[venue]);
        let count = place.lots;
        place.down = if count == 0 {
            None
        } else if place.bounds.mode == Mode::Open && count <= place.hull {
            Some(place.hull_slope)
        } else if count > place.bounds.low {
            lots.runs.get(run_of(lots, count - 1)).map(|run| run.slope)
        } else {
            None
        };
    }

    /// What a venue's next unit costs.
    #[inline]
    fn look_up(&mut self, venue: usize, source: &mut impl Source) -> Result<(), RouteError> {
        let (place, lots) = (&mut self.places[venue], &mut self.venues[venue]);
        (place.up, place.up_size) = (Slope::MAX, i64::MAX);
        let Bounds { mode, high, .. } = place.bounds;
        if mode == Mode::Unused || place.lots >= high {
            return Ok(());
        }
        if mode == Mode::Open && place.lots == 0 {
            if place.hull > 0 {
                (place.up, place.up_size) = (place.hull_slope, place.hull.saturating_mul(lots.lot));
            }
            return Ok(());
        }
        if place.run == lots.runs.len() && !lots.pull(venue, source)? {
            return Ok(());
        }
        (place.up, place.up_size) = (lots.runs[place.run].slope, lots.lot);
        Ok(())
    }

    /// A venue's bounds are new: brings it into them.
    pub(super) fn open(&mut self, venue: usize, source: &mut impl Source) -> Result<(), RouteError> {
        let bounds = self.places[venue].bounds;
        match bounds.mode {
            Mode::Unused => return self.set(venue, 0, source),
            Mode::Open if self.limited && self.used() >= self.max_venues => {
                self.places[venue].hull = 0;
                return self.set(venue, 0, source);
            }
            Mode::Open => self.find_hull(venue, source)?,
            Mode::Free | Mode::Used => {}
        }
        let place = &self.places[venue];
        let lots = if bounds.mode == Mode::Open {
            // An undecided order is none, or one of its least average cost or more.
            if place.lots < place.hull || place.hull == 0 { 0 } else { place.lots.min(bounds.high) }
        } else {
            place.lots.clamp(bounds.low, bounds.high.max(bounds.low))
        };
        self.set(venue, lots, source)?;
        if self.places[venue].lots < bounds.low && self.stack.is_empty() {
            return Err(RouteError::Required { venue });
        }
        Ok(())
    }

    /// Orders that are decided to be.
    fn used(&self) -> usize {
        self.places.iter().filter(|place| place.bounds.mode == Mode::Used).count()
    }

    /// The order of least average cost among those that the bounds allow; `hull` is 0 if there is none.
    fn find_hull(&mut self, venue: usize, source: &mut impl Source) -> Result<(), RouteError> {
        let (place, lots) = (&mut self.places[venue], &mut self.venues[venue]);
        place.hull = 0;
        if lots.min > place.bounds.high {
            return Ok(());
        }
        while lots.lots < lots.min {
            if !lots.pull(venue, source)? {
                return Ok(());
            }
        }
        let mut count = lots.min;
        let mut run = run_of(lots, count - 1);
        let mut cost = lots.fixed + lots.cost_of(count, run);
        let size = |count: i64| count.checked_mul(lots.lot).ok_or(RouteError::Overflow { venue });
        let mut slope = Slope::new(cost, size(count)?);
        loop {
            if run == lots.runs.len() && !lots.pull(venue, source)? {
                break;
            }
            let next = lots.runs[run];
            let end = (next.lots_before + next.lots).min(place.bounds.high);
            if end > count {
                if !next.slope.is_below(slope) {
                    break;
                }
                cost += next.cost * i128::from(end - count);
                count = end;
                slope = Slope::new(cost, count.checked_mul(lots.lot).ok_or(RouteError::Overflow { venue })?);
            }
            if count >= place.bounds.high {
                break;
            }
            run += 1;
        }
        (place.hull, place.hull_slope) = (count, slope);
        Ok(())
    }
}
