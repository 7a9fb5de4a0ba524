//! The order book against a slow obvious one: vectors of orders by price.

#![allow(clippy::unwrap_used)] // in a test a failure may panic

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::units::Nanos;

/// Displayed and hidden orders of a price in queue order, as (id, size).
type Queues = [Vec<(u64, i64)>; 2];

#[derive(Default)]
struct Model {
    sides: [BTreeMap<i64, Queues>; 2],
}

fn total(queue: &[(u64, i64)]) -> i128 {
    queue.iter().map(|&(_, size)| i128::from(size)).sum()
}

fn fits(queue: &[(u64, i64)], size: i64) -> bool {
    total(queue) + i128::from(size) <= i128::from(i64::MAX)
}

impl Model {
    /// Side, price, hidden, place, size.
    fn find(&self, id: u64) -> Option<(usize, i64, usize, usize, i64)> {
        self.sides.iter().enumerate().find_map(|(side, prices)| {
            prices.iter().find_map(|(&price, queues)| {
                queues.iter().enumerate().find_map(|(hidden, queue)| {
                    let at = queue.iter().position(|order| order.0 == id)?;
                    Some((side, price, hidden, at, queue[at].1))
                })
            })
        })
    }

    fn queue(&mut self, side: usize, price: i64, hidden: usize) -> &mut Vec<(u64, i64)> {
        &mut self.sides[side].entry(price).or_default()[hidden]
    }

    fn add(&mut self, id: u64, side: usize, price: i64, size: i64, hidden: usize) -> Result<(), OrderBookError> {
        if self.find(id).is_some() {
            return Err(OrderBookError::Duplicate(id));
        }
        if size <= 0 {
            return Err(OrderBookError::Size(id, size));
        }
        let queue = self.queue(side, price, hidden);
        if !fits(queue, size) {
            return Err(OrderBookError::Full(id));
        }
        queue.push((id, size));
        Ok(())
    }

    fn modify(&mut self, id: u64, price: i64, size: i64) -> Result<(), OrderBookError> {
        let (side, old_price, hidden, at, old) = self.find(id).ok_or(OrderBookError::Unknown(id))?;
        if size <= 0 {
            return Err(OrderBookError::Size(id, size));
        }
        if price == old_price && size <= old {
            self.queue(side, price, hidden)[at].1 = size;
            return Ok(());
        }
        let mut there = self.queue(side, price, hidden).clone();
        there.retain(|order| order.0 != id);
        if !fits(&there, size) {
            return Err(OrderBookError::Full(id));
        }
        self.queue(side, old_price, hidden).remove(at);
        self.queue(side, price, hidden).push((id, size));
        Ok(())
    }

    fn cancel(&mut self, id: u64) -> Result<Order, OrderBookError> {
        let (side, price, hidden, at, size) = self.find(id).ok_or(OrderBookError::Unknown(id))?;
        self.queue(side, price, hidden).remove(at);
        Ok(order(id, side, price, size, hidden))
    }

    fn execute(&mut self, id: u64, size: i64) -> Result<(), OrderBookError> {
        let (side, price, hidden, at, open) = self.find(id).ok_or(OrderBookError::Unknown(id))?;
        if size <= 0 || size > open {
            return Err(OrderBookError::Size(id, size));
        }
        let queue = self.queue(side, price, hidden);
        queue[at].1 -= size;
        queue.retain(|order| order.1 > 0);
        Ok(())
    }

    /// Prices of a side from best to worst.
    fn prices(&self, side: usize) -> Vec<(i64, &Queues)> {
        let mut found: Vec<_> = self.sides[side].iter().map(|(&price, queues)| (price, queues)).collect();
        if side == 0 {
            found.reverse();
        }
        found
    }

    fn orders(&self, side: usize) -> Vec<Order> {
        let mut out = Vec::new();
        for (price, queues) in self.prices(side) {
            for (hidden, queue) in queues.iter().enumerate() {
                out.extend(queue.iter().map(|&(id, size)| order(id, side, price, size, hidden)));
            }
        }
        out
    }

    fn levels(&self, side: usize) -> Vec<OrderLevel> {
        let shown = |(price, queues): (i64, &Queues)| {
            let orders = u32::try_from(queues[0].len()).unwrap();
            let size = Size(i64::try_from(total(&queues[0])).unwrap());
            (orders > 0).then_some(OrderLevel { price: Price(price), size, orders })
        };
        self.prices(side).into_iter().filter_map(shown).collect()
    }

    fn place(&self, id: u64) -> Option<Place> {
        let (side, price, hidden, at, _) = self.find(id)?;
        let queues = &self.sides[side][&price];
        let mut before = queues[hidden][..at].to_vec();
        if hidden == 1 {
            before.extend(&queues[0]);
        }
        Some(Place {
            orders_ahead: before.len() as u64,
            size_ahead: Size(i64::try_from(total(&before)).unwrap_or(i64::MAX)),
            level_size: Size(i64::try_from(total(&queues[0])).unwrap()),
        })
    }
}

const SIDES: [Side; 2] = [Side::Bid, Side::Ask];

fn order(id: u64, side: usize, price: i64, size: i64, hidden: usize) -> Order {
    Order { id, side: SIDES[side], price: Price(price), size: Size(size), hidden: hidden == 1 }
}

fn event(kind: Kind, id: u64, side: Option<Side>, price: i64, size: i64) -> Event {
    Event {
        ts_event: Nanos(0),
        ts_recv: Nanos(0),
        sequence: 0,
        order_id: id,
        price: Price(price),
        size: Size(size),
        instrument: 0,
        kind,
        side,
        flags: Flags::NONE,
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(u64, usize, i64, i64),
    /// A hidden order, as the exchange makes them.
    Hide(u64, usize, i64, i64),
    Modify(u64, i64, i64),
    Cancel(u64),
    Execute(u64, i64),
    /// Fills the first to trade of a side by a share of its size.
    ExecuteHead(usize, u8),
    /// Out of its queue and back to the tail with another size, as an iceberg's next slice.
    Refresh(u64, i64),
    Clear,
}

fn ids() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..24, 1 => Just(u64::MAX), 1 => Just(1 << 32), 1 => Just(1 << 63)]
}

fn prices() -> impl Strategy<Value = i64> {
    let ends = [i64::MIN, i64::MIN + 1, -1, i64::MAX - 1, i64::MAX];
    prop_oneof![8 => 100_i64..104, 2 => prop::sample::select(ends.to_vec()), 1 => 0_i64..1_000_000, 1 => any::<i64>()]
}

fn sizes() -> impl Strategy<Value = i64> {
    let ends = [i64::MIN, -1, 0, i64::MAX / 2, i64::MAX / 2 + 1, i64::MAX - 1, i64::MAX];
    prop_oneof![10 => 1_i64..9, 2 => prop::sample::select(ends.to_vec())]
}

fn steps() -> impl Strategy<Value = Step> {
    let side = 0_usize..2;
    prop_oneof![
        40 => (ids(), side.clone(), prices(), sizes()).prop_map(|(id, side, price, size)| Step::Add(id, side, price, size)),
        10 => (ids(), side.clone(), prices(), sizes()).prop_map(|(id, side, price, size)| Step::Hide(id, side, price, size)),
        20 => (ids(), prices(), sizes()).prop_map(|(id, price, size)| Step::Modify(id, price, size)),
        15 => ids().prop_map(Step::Cancel),
        10 => (ids(), sizes()).prop_map(|(id, size)| Step::Execute(id, size)),
        10 => (side, any::<u8>()).prop_map(|(side, share)| Step::ExecuteHead(side, share)),
        5 => (ids(), 1_i64..9).prop_map(|(id, size)| Step::Refresh(id, size)),
        1 => Just(Step::Clear),
    ]
}

fn apply(book: &mut OrderBook, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    match step {
        Step::Add(id, side, price, size) => {
            let found = book.apply(&event(Kind::Add, id, Some(SIDES[side]), price, size));
            prop_assert_eq!(found, model.add(id, side, price, size, 0));
        }
        Step::Hide(id, side, price, size) => {
            if book.find(id).is_some() || size <= 0 {
                return Ok(());
            }
            let at = book.park(id, size, ()).unwrap();
            prop_assert!(!book.rests(at) && book.get(id).is_none() && book.place(id).is_none());
            prop_assert_eq!(book.cancel(id), Err(OrderBookError::Unknown(id)));
            prop_assert_eq!(book.modify(id, Price(0), Size(1)), Err(OrderBookError::Unknown(id)));
            prop_assert_eq!(book.execute(id, Size(1)), Err(OrderBookError::Unknown(id)));
            prop_assert_eq!(book.add(id, SIDES[side], Price(0), Size(1)), Err(OrderBookError::Duplicate(id)));
            let joined = book.join(at, SIDES[side], price, true);
            prop_assert_eq!(joined, model.add(id, side, price, size, 1).is_ok());
            if !joined {
                book.forget(at);
            }
        }
        Step::Modify(id, price, size) => {
            let found = book.apply(&event(Kind::Modify, id, None, price, size));
            prop_assert_eq!(found, model.modify(id, price, size));
        }
        Step::Cancel(id) => prop_assert_eq!(book.cancel(id), model.cancel(id)),
        Step::Execute(id, size) => {
            let found = book.apply(&event(Kind::Execute, id, None, i64::MIN, size));
            prop_assert_eq!(found, model.execute(id, size));
        }
        Step::ExecuteHead(side, share) => {
            let head = book.best_level(SIDES[side]).map(Level::first);
            let Some(head) = head.map(|at| *book.node(at)) else { return Ok(()) };
            let size = (head.size / 256 * i64::from(share) + 1).min(head.size);
            prop_assert_eq!(book.execute(head.id, Size(size)), model.execute(head.id, size));
        }
        Step::Refresh(id, size) => {
            let Some(at) = book.find(id) else { return Ok(()) };
            let Order { side, price, hidden, .. } = book.order_at(at);
            let was = model.cancel(id).unwrap();
            book.leave(at);
            prop_assert!(!book.rests(at));
            book.resize(at, size);
            let joined = book.join(at, side, price.0, hidden);
            let expected = model.add(id, side as usize, price.0, size, usize::from(hidden));
            prop_assert_eq!(joined, expected.is_ok());
            if !joined {
                book.resize(at, was.size.0);
                prop_assert!(book.join(at, side, price.0, hidden));
                model.add(id, side as usize, price.0, was.size.0, usize::from(hidden)).unwrap();
            }
        }
        Step::Clear => {
            book.clear();
            *model = Model::default();
        }
    }
    Ok(())
}

fn compare(book: &OrderBook, model: &Model) -> Result<(), TestCaseError> {
    let mut live = 0;
    let mut best = [(Price(0), Size(0)); 2];
    for side in SIDES {
        let orders = model.orders(side as usize);
        live += orders.len();
        prop_assert_eq!(&book.orders(side).collect::<Vec<_>>(), &orders);
        let places: Vec<_> = orders.iter().map(|&order| (order, model.place(order.id).unwrap())).collect();
        prop_assert_eq!(book.places(side).collect::<Vec<_>>(), places);
        for order in orders {
            prop_assert_eq!(book.get(order.id), Some(order));
            prop_assert_eq!(book.place(order.id), model.place(order.id));
        }
        let levels = model.levels(side as usize);
        if let Some(level) = levels.first() {
            best[side as usize] = (level.price, level.size);
        }
        prop_assert_eq!(book.levels(side).collect::<Vec<_>>(), levels);
    }
    prop_assert_eq!((book.len(), book.is_empty()), (live, live == 0));
    let [(bid, bid_size), (ask, ask_size)] = best;
    prop_assert_eq!(book.quote(), Quote { bid, bid_size, ask, ask_size });
    Ok(())
}

fn cases() -> u32 {
    std::env::var("CROSSBOOK_SLOW").map_or(1, |factor| factor.parse().expect("CROSSBOOK_SLOW: a whole number"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500 * cases(), ..ProptestConfig::default() })]
    #[test]
    fn an_order_book_is_vectors_of_orders_by_price(steps in prop::collection::vec(steps(), 0..200)) {
        let (mut book, mut model) = (OrderBook::new(), Model::default());
        for step in steps {
            apply(&mut book, &mut model, step)?;
            for side in &mut model.sides {
                side.retain(|_, queues| queues.iter().any(|queue| !queue.is_empty()));
            }
            compare(&book, &model)?;
        }
    }
}

#[test]
fn an_order_may_grow_to_all_that_its_price_can_hold() {
    let mut book: OrderBook = OrderBook::new();
    book.add(1, Side::Bid, Price(5), Size(i64::MAX - 1)).unwrap();
    book.modify(1, Price(5), Size(i64::MAX)).unwrap();
    assert_eq!(book.add(2, Side::Bid, Price(5), Size(1)), Err(OrderBookError::Full(2)));
    assert_eq!((book.get(2), book.len()), (None, 1));
    book.add(2, Side::Bid, Price(4), Size(1)).unwrap();
    assert_eq!(book.modify(2, Price(5), Size(1)), Err(OrderBookError::Full(2)));
    assert_eq!(book.get(2), Some(order(2, 0, 4, 1, 0)));
}

#[test]
fn a_hidden_order_behind_all_that_fits_has_no_more_before_it_than_a_size_can_say() {
    let mut book: OrderBook = OrderBook::new();
    book.add(1, Side::Ask, Price(5), Size(i64::MAX)).unwrap();
    for id in 2..4 {
        let at = book.park(id, i64::MAX / 2, ()).unwrap();
        assert!(book.join(at, Side::Ask, 5, true));
    }
    assert_eq!(book.place(3).unwrap().size_ahead, Size(i64::MAX));
    assert_eq!(book.place(3).unwrap().orders_ahead, 2);
}

#[test]
fn a_gap_makes_the_book_stale_until_it_is_cleared_and_a_gap_in_the_trades_does_not() {
    let mut book: OrderBook = OrderBook::new();
    book.apply(&event(Kind::Add, 1, Some(Side::Bid), 5, 1)).unwrap();
    book.apply(&Event { flags: Flags::TRADES, ..event(Kind::Gap, 0, None, 0, 0) }).unwrap();
    assert!(!book.is_stale());
    book.apply(&event(Kind::Gap, 0, None, 0, 0)).unwrap();
    assert!(book.is_stale());
    assert_eq!(book.len(), 1);
    book.apply(&event(Kind::Clear, 0, None, 0, 0)).unwrap();
    assert!(!book.is_stale() && book.is_empty());
}

#[test]
fn trades_and_what_is_by_price_leave_the_orders_alone() {
    let mut book: OrderBook = OrderBook::new();
    book.add(1, Side::Bid, Price(5), Size(3)).unwrap();
    for kind in [Kind::Trade, Kind::Level, Kind::Quote, Kind::Status, Kind::Mark, Kind::Funding] {
        book.apply(&event(kind, 1, Some(Side::Bid), 5, 1)).unwrap();
        assert_eq!(book.get(1), Some(order(1, 0, 5, 3, 0)), "{kind:?}");
    }
    assert_eq!(book.apply(&event(Kind::Add, 2, None, 5, 1)), Err(OrderBookError::Side(2)));
}
