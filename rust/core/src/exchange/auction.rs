//! Call auctions: one price for all.

use std::collections::BTreeMap;

use super::matching::fee;
use super::{Exchange, Execution, ExecutionKind, Out, Reason, State};
use crate::book::orders::NONE;
use crate::units::{Price, Side, Size};

/// What an auction gives, or would give now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indicative {
    /// The price.
    pub price: Price,
    /// The volume at it.
    pub size: Size,
    /// Demand less supply at it.
    pub imbalance: Size,
}

/// The same before it is cut to 63 bits.
#[derive(Clone, Copy)]
struct Clearing {
    price: i64,
    volume: i128,
    surplus: i128,
}

impl Clearing {
    fn shown(&self) -> Indicative {
        let cut = |value: i128| i64::try_from(value).unwrap_or(if value < 0 { -i64::MAX } else { i64::MAX });
        Indicative { price: Price(self.price), size: Size(cut(self.volume)), imbalance: Size(cut(self.surplus)) }
    }
}

/// Ticks with the same demand and supply.
#[derive(Clone, Copy)]
struct Stretch {
    lowest: i64,
    highest: i64,
    demand: i128,
    supply: i128,
}

impl Stretch {
    fn volume(&self) -> i128 {
        self.demand.min(self.supply)
    }

    fn surplus(&self) -> i128 {
        self.demand - self.supply
    }
}

impl Exchange {
    /// What an auction would give now; `None` in continuous trading, when closed, or if nothing would trade.
    #[must_use]
    pub fn indicative(&self) -> Option<Indicative> {
        if matches!(self.state, State::Continuous | State::Closed) {
            return None;
        }
        self.clearing().map(|clearing| clearing.shown())
    }

    /// Price, volume and imbalance of an auction of what is there.
    fn clearing(&self) -> Option<Clearing> {
        let market = |side: Side| -> i128 {
            self.markets[side as usize].values().map(|&at| i128::from(self.book.node(at).size)).sum()
        };
        let (buys, sells) = (market(Side::Bid), market(Side::Ask));
        let mut sizes: BTreeMap<i64, [i128; 2]> = BTreeMap::new();
        for side in [Side::Bid, Side::Ask] {
            for level in self.book.all_levels(side) {
                let size: i128 = self.book.queue(level).map(|at| i128::from(self.open(at))).sum();
                sizes.entry(level.price).or_default()[side as usize] += size;
            }
        }
        if sizes.is_empty() {
            let size = buys.min(sells);
            return self.anchor().filter(|_| size > 0).map(|price| Clearing {
                price,
                volume: size,
                surplus: buys - sells,
            });
        }
        let stretches = stretches(&sizes, buys, sells, self.rules.tick);
        let most = stretches.iter().map(Stretch::volume).max()?;
        if most <= 0 {
            return None;
        }
        let least = stretches.iter().filter(|one| one.volume() == most).map(|one| one.surplus().abs()).min()?;
        let best = || stretches.iter().filter(|one| one.volume() == most && one.surplus().abs() == least);
        let lowest = best().map(|one| one.lowest).min()?;
        let highest = best().map(|one| one.highest).max()?;
        let price = if best().all(|one| one.surplus() > 0) {
            highest
        } else if best().all(|one| one.surplus() < 0) {
            lowest
        } else {
            let wanted = match self.reference {
                Some(reference) => i128::from(reference.clamp(lowest, highest)),
                None => (i128::from(lowest) + i128::from(highest)).div_euclid(2),
            };
            // Down to a tick, which stays above the lowest, itself on a tick.
            let tick = i128::from(self.rules.tick);
            i64::try_from(wanted.div_euclid(tick) * tick).unwrap_or(lowest).max(lowest)
        };
        let at = best().find(|one| (one.lowest..=one.highest).contains(&price))?;
        Some(Clearing { price, volume: at.volume(), surplus: at.surplus() })
    }

    /// Trades everything that can trade at one price.
    pub(super) fn uncross(&mut self, out: Out<'_>) {
        let Some(clearing) = self.clearing() else { return };
        let shown = clearing.shown();
        out(&Execution {
            sequence: self.sequence,
            kind: ExecutionKind::Auction,
            price: shown.price,
            size: shown.size,
            remaining: shown.imbalance,
            ..Execution::EMPTY
        });
        let price = clearing.price;
        let buyers = self.takers(Side::Bid, price, clearing.volume);
        let sellers = self.takers(Side::Ask, price, clearing.volume);
        let order = self.pair(&buyers, &sellers, price, out);
        self.print(price);
        self.reference = Some(price);
        // What traded leaves first, then alternatives go in the order of the trades, then icebergs show new slices.
        let fills: Vec<(u32, i64)> = sums(&buyers).into_iter().chain(sums(&sellers)).collect();
        let mut used = Vec::new();
        let mut partners: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
        for &(at, _) in &fills {
            if let Some(link) = self.extra(at).map(|extra| extra.link).filter(|&link| link != NONE) {
                partners.insert(at, (link, self.book.node(link).id));
            }
        }
        for &(at, size) in &fills {
            self.unlink(at);
            if self.reduce(at, size) {
                used.push((at, self.book.node(at).id));
            }
        }
        for at in order {
            // It may be gone by its own trades; else its end ends the link, for the other too.
            if let Some((partner, id)) = partners.remove(&at)
                && self.book.find(id) == Some(partner)
            {
                partners.remove(&partner);
                self.cancel(partner, Reason::Linked, out);
            }
        }
        for (at, id) in used {
            if self.book.find(id) == Some(at) {
                self.replenish(at, out);
            }
        }
    }

    /// Who trades how much, in order: market orders, then by price displayed slices, hidden orders and reserves.
    fn takers(&self, side: Side, price: i64, volume: i128) -> Vec<(u32, i64)> {
        let mut left = volume;
        let mut takers = Vec::new();
        let mut add = |at: u32, size: i64| {
            let size = i64::try_from(left).map_or(size, |left| size.min(left));
            if size > 0 {
                takers.push((at, size));
                left -= i128::from(size);
            }
            left > 0
        };
        for &at in self.markets[side as usize].values() {
            if !add(at, self.book.node(at).size) {
                return takers;
            }
        }
        for level in self.book.all_levels(side) {
            let beyond = if side == Side::Bid { level.price < price } else { level.price > price };
            if beyond {
                break;
            }
            for at in self.book.shown(level) {
                if !add(at, self.book.node(at).size) {
                    return takers;
                }
            }
            let reserves = self.book.shown(level).map(|at| (at, self.extra(at).map_or(0, |extra| extra.reserve)));
            let hidden = self.book.unseen(level).map(|at| (at, self.book.node(at).size));
            for (at, size) in reserves.chain(hidden) {
                if size > 0 && !add(at, size) {
                    return takers;
                }
            }
        }
        takers
    }

    /// Buyers and sellers in their orders, paired off.
    /// Returns who traded, in that order, buyers before sellers.
    fn pair(&self, buyers: &[(u32, i64)], sellers: &[(u32, i64)], price: i64, out: Out<'_>) -> Vec<u32> {
        let mut order = Vec::new();
        let mut sellers = sellers.iter().copied();
        let Some(mut seller) = sellers.next() else { return order };
        let mut open: BTreeMap<u32, i64> = buyers.iter().map(|&(at, _)| (at, self.open(at))).collect();
        for &(buyer, size) in buyers {
            let mut size = size;
            while size > 0 {
                if seller.1 == 0 {
                    match sellers.next() {
                        Some(next) => seller = next,
                        None => return order,
                    }
                }
                let traded = size.min(seller.1);
                size -= traded;
                seller.1 -= traded;
                let left = open.entry(buyer).or_default();
                *left -= traded;
                order.extend([buyer, seller.0]);
                let (bought, sold) = (self.book.node(buyer), self.book.node(seller.0));
                let pays = |account| fee(price, traded, self.tier(account).auction);
                out(&Execution {
                    sequence: self.sequence,
                    kind: ExecutionKind::Trade,
                    order_id: bought.id,
                    counter_id: sold.id,
                    price: Price(price),
                    size: Size(traded),
                    remaining: Size(*left),
                    fee: pays(bought.tag.account),
                    counter_fee: pays(sold.tag.account),
                    account: bought.tag.account,
                    counter_account: sold.tag.account,
                    ..Execution::EMPTY
                });
            }
        }
        order
    }

    /// Takes from an order what it traded in an auction. True if its slice is used up and its reserve is not; an empty
    /// slice still stands there then.
    fn reduce(&mut self, at: u32, size: i64) -> bool {
        let (open, slice) = (self.open(at), self.book.node(at).size);
        if size == open {
            self.end(at);
            return false;
        }
        if size < slice {
            self.book.shrink(at, size);
            return false;
        }
        if let Some(extra) = self.extra_mut(at) {
            extra.reserve -= size - slice;
        }
        self.book.shrink(at, slice);
        true
    }
}

/// Amounts by order, in the order of their first appearance: an iceberg may trade its slice and its reserve.
fn sums(takers: &[(u32, i64)]) -> Vec<(u32, i64)> {
    let mut places: BTreeMap<u32, usize> = BTreeMap::new();
    let mut sums: Vec<(u32, i64)> = Vec::new();
    for &(at, size) in takers {
        let place = *places.entry(at).or_insert(sums.len());
        if place == sums.len() {
            sums.push((at, size));
        } else {
            sums[place].1 += size;
        }
    }
    sums
}

/// Every price, and what lies between two of them if a tick does.
fn stretches(sizes: &BTreeMap<i64, [i128; 2]>, buys: i128, sells: i128, tick: i64) -> Vec<Stretch> {
    let mut demand = buys + sizes.values().map(|size| size[0]).sum::<i128>();
    let mut supply = sells;
    let mut all: Vec<Stretch> = Vec::with_capacity(2 * sizes.len());
    for (&price, size) in sizes {
        if let Some(before) = all.last() {
            let (lowest, highest) = (before.highest.saturating_add(tick), price.saturating_sub(tick));
            if lowest <= highest {
                all.push(Stretch { lowest, highest, demand, supply });
            }
        }
        supply += size[1];
        all.push(Stretch { lowest: price, highest: price, demand, supply });
        demand -= size[0];
    }
    all
}
