//! A market-by-order book: every resting order in its place.
//!
//! Orders lie in one slab, forty bytes each, and are chained to two queues a price level: the displayed ones, then the
//! hidden ones. A `Ladder` for each side finds levels by price, an `Index` orders by id. So adding, cancelling and
//! trading the head cost the same however many orders rest, and nothing is allocated once slab and index have grown.
//! What a venue needs to know of an order besides (account, time in force, reserve) is its `tag`; feeds have none.
//!
//! Another structure wins elsewhere: where only sizes by price are wanted, [`PriceBook`](super::PriceBook) is some five
//! times faster; for walking long queues from end to end again and again, levels as vectors.

use thiserror::Error;

use super::index::Index;
use super::ladder::{self, Ladder};
use super::price::Quote;
use crate::event::{Event, Flags, Kind};
use crate::units::{Price, Side, Size};

/// No order, no level.
pub(crate) const NONE: u32 = u32::MAX;
/// So many coming orders are read ahead of.
const AHEAD: usize = 32;
/// Set in a node's `level` if it stands in the hidden queue.
const HIDDEN: u32 = 1 << 31;

/// Why an order book refuses a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OrderBookError {
    /// A live order has this id.
    #[error("order {0}: expected an id that no live order has")]
    Duplicate(u64),
    /// No live order has this id.
    #[error("order {0}: expected the id of a live order")]
    Unknown(u64),
    /// The size is 0 or negative, or more is filled than is open.
    #[error("order {0}: expected a size from 1 to what is open, got {1}")]
    Size(u64, i64),
    /// The sizes at this price would not fit 63 bits, or there are 2^31 orders.
    #[error("order {0}: expected sizes at one price below 2^63 and fewer than 2^31 orders")]
    Full(u64),
    /// The event names no side.
    #[error("order {0}: expected an event with a side")]
    Side(u64),
}

/// One resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: u64,
    /// Its side.
    pub side: Side,
    /// Its price.
    pub price: Price,
    /// What it shows; if it is hidden, its size.
    pub size: Size,
    /// Whether it is shown.
    pub hidden: bool,
}

/// Where an order stands in the queue of its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Orders before it.
    pub orders_ahead: u64,
    /// Their sizes.
    pub size_ahead: Size,
    /// Displayed size of its price, itself included.
    pub level_size: Size,
}

/// The orders of one price, summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderLevel {
    /// The price.
    pub price: Price,
    /// Displayed size.
    pub size: Size,
    /// Displayed orders.
    pub orders: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<T> {
    pub(crate) id: u64,
    /// Displayed size; of a hidden order its size.
    pub(crate) size: i64,
    next: u32,
    prev: u32,
    /// The level's place, and [`HIDDEN`]; [`NONE`] while it stands outside the book.
    level: u32,
    pub(crate) tag: T,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    head: u32,
    tail: u32,
}

const EMPTY: Queue = Queue { head: NONE, tail: NONE };

#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub(crate) price: i64,
    /// Of the displayed queue.
    pub(crate) size: i64,
    /// Of the hidden queue.
    pub(crate) hidden: i64,
    shown: Queue,
    unseen: Queue,
    /// Of the displayed queue.
    orders: u32,
    /// The order that set this price as a new best, until it loses its place.
    pub(crate) top: u32,
    pub(crate) side: Side,
}

/// A market-by-order book. `T` is what its owner keeps with every order.
///
/// ```
/// use crossbook::book::OrderBook;
/// use crossbook::units::{Price, Side, Size};
///
/// let mut book: OrderBook = OrderBook::new();
/// book.add(7, Side::Bid, Price(100), Size(5))?;
/// book.add(8, Side::Bid, Price(100), Size(2))?;
/// book.execute(7, Size(1))?;
/// assert_eq!(book.place(8).map(|place| place.size_ahead), Some(Size(4)));
/// # Ok::<(), crossbook::book::OrderBookError>(())
/// ```
#[derive(Clone)]
pub struct OrderBook<T = ()> {
    ladders: [Ladder; 2],
    levels: Vec<Level>,
    free_levels: Vec<u32>,
    nodes: Vec<Node<T>>,
    /// Free nodes. A list of its own, because a chain through them could not be read ahead.
    free: Vec<u32>,
    live: usize,
    stale: bool,
    index: Index,
}

impl<T: Copy + Default> Default for OrderBook<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy + Default> OrderBook<T> {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty book that holds so many orders before it allocates.
    #[must_use]
    pub fn with_capacity(orders: usize) -> Self {
        Self {
            ladders: [Ladder::new(Side::Bid), Ladder::new(Side::Ask)],
            levels: Vec::new(),
            free_levels: Vec::new(),
            nodes: crossbook_pages::vec_with_capacity(orders),
            free: Vec::new(),
            live: 0,
            stale: false,
            index: Index::with_capacity(orders),
        }
    }

    /// Adds an order at the tail of its price.
    ///
    /// # Errors
    /// If the id is live, the size is not positive, or the level is full.
    pub fn add(&mut self, id: u64, side: Side, price: Price, size: Size) -> Result<(), OrderBookError> {
        if self.find(id).is_some() {
            return Err(OrderBookError::Duplicate(id));
        }
        if size.0 <= 0 {
            return Err(OrderBookError::Size(id, size.0));
        }
        self.insert(id, side, price.0, size.0, T::default()).map(drop).ok_or(OrderBookError::Full(id))
    }

    /// Gives an order another price and size. It keeps its place if the price stays and the size does not grow.
    ///
    /// # Errors
    /// If the id is not live, the size is not positive, or the level is full. The order stays as it was.
    pub fn modify(&mut self, id: u64, price: Price, size: Size) -> Result<(), OrderBookError> {
        let at = self.resting(id)?;
        if size.0 <= 0 {
            return Err(OrderBookError::Size(id, size.0));
        }
        let old = self.order_at(at);
        if price == old.price && size <= old.size {
            self.shrink(at, old.size.0 - size.0);
            return Ok(());
        }
        let there =
            self.level_at(old.side, price.0).map_or(0, |level| if old.hidden { level.hidden } else { level.size });
        let others = if price == old.price { there - old.size.0 } else { there };
        if others.checked_add(size.0).is_none() {
            return Err(OrderBookError::Full(id));
        }
        self.leave(at);
        self.nodes[at as usize].size = size.0;
        self.join(at, old.side, price.0, old.hidden);
        Ok(())
    }

    /// Takes an order out and returns it.
    ///
    /// # Errors
    /// If the id is not live.
    pub fn cancel(&mut self, id: u64) -> Result<Order, OrderBookError> {
        let at = self.resting(id)?;
        let order = self.order_at(at);
        self.leave(at);
        self.forget(at);
        Ok(order)
    }

    /// Fills an order, wherever it stands; filled whole it leaves.
    ///
    /// # Errors
    /// If the id is not live, or the size is not between 1 and the order's.
    pub fn execute(&mut self, id: u64, size: Size) -> Result<(), OrderBookError> {
        let at = self.resting(id)?;
        let open = self.nodes[at as usize].size;
        if size.0 <= 0 || size.0 > open {
            return Err(OrderBookError::Size(id, size.0));
        }
        if size.0 == open {
            self.leave(at);
            self.forget(at);
        } else {
            self.shrink(at, size.0);
        }
        Ok(())
    }

    /// Applies an event of a market-by-order feed, as [`Kind`] says: `Add`, `Modify`, `Cancel`, `Execute`, `Clear`; a
    /// `Gap` that is not the trades' alone makes the book stale. Other kinds do nothing, a `Trade` above all: what it
    /// does to the book comes as `Execute`.
    ///
    /// # Errors
    /// As the methods of those names. The book stays as it was.
    pub fn apply(&mut self, event: &Event) -> Result<(), OrderBookError> {
        let id = event.order_id;
        match event.kind {
            Kind::Clear => {
                self.clear();
                Ok(())
            }
            Kind::Add => self.add(id, event.side.ok_or(OrderBookError::Side(id))?, event.price, event.size),
            Kind::Modify => self.modify(id, event.price, event.size),
            Kind::Cancel => self.cancel(id).map(drop),
            Kind::Execute => self.execute(id, event.size),
            Kind::Gap if !event.flags.contains(Flags::TRADES) => {
                self.stale = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Applies events in order. In a large book this takes a third of the time of applying them one by one, because it
    /// reads ahead: see [`Self::read_ahead`].
    ///
    /// # Errors
    /// At the first event that the book refuses, with its place; the events before it have been applied.
    pub fn apply_all(&mut self, events: &[Event]) -> Result<(), (usize, OrderBookError)> {
        for (number, some) in events.chunks(Self::AHEAD).enumerate() {
            self.read_ahead(some.iter().map(Event::coming));
            for (place, event) in some.iter().enumerate() {
                self.apply(event).map_err(|error| (number * Self::AHEAD + place, error))?;
            }
        }
        Ok(())
    }

    /// So many coming orders are worth reading ahead of.
    pub const AHEAD: usize = AHEAD;
    /// Up to so many live orders the caches hold what matters.
    const SMALL: usize = 1 << 16;

    /// Reads what the next changes will need, of the orders with these ids (and, of orders that come, side and price),
    /// and does nothing with it: changes wait for memory one after another, these reads wait together. Does nothing
    /// in a small book, and considers [`Self::AHEAD`] orders at most.
    pub fn read_ahead(&self, orders: impl Iterator<Item = (u64, Option<(Side, Price)>)>) {
        if self.live > Self::SMALL {
            self.read(orders.take(Self::AHEAD));
        }
    }

    /// Three rounds, each of reads that do not wait for one another: where the orders are, the orders, what is beside
    /// them in their queues.
    #[inline(never)]
    fn read(&self, orders: impl Iterator<Item = (u64, Option<(Side, Price)>)>) {
        let mut ids = [(0, NONE); AHEAD];
        let mut count = 0;
        let (mut seen, mut come) = (0_u64, 0);
        for (slot, (id, joins)) in ids.iter_mut().zip(orders) {
            seen = seen.wrapping_add(u64::from(self.index.touch(id)));
            if let Some((side, price)) = joins {
                slot.1 = self.level_at(side, price.0).map_or(NONE, |level| level.shown.tail);
                if let Some(&free) = self.free.len().checked_sub(come + 1).and_then(|at| self.free.get(at)) {
                    seen = seen.wrapping_add(self.nodes[free as usize].id);
                }
                come += 1;
            } else {
                slot.0 = id;
            }
            count += 1;
        }
        for slot in &mut ids[..count] {
            if slot.1 == NONE {
                slot.1 = self.index.guess(slot.0).unwrap_or(NONE);
            }
        }
        for (_, place) in &mut ids[..count] {
            if let Some(node) = self.nodes.get(*place as usize) {
                seen = seen.wrapping_add(node.id);
            }
        }
        for &(_, place) in &ids[..count] {
            if let Some(node) = self.nodes.get(place as usize) {
                for beside in [node.next, node.prev] {
                    seen = seen.wrapping_add(self.nodes.get(beside as usize).map_or(0, |node| node.id));
                }
            }
        }
        std::hint::black_box(seen);
    }

    /// Whether changes are missing since the last clear, so that the book may be wrong.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.stale
    }

    /// Forgets every order and keeps the memory.
    pub fn clear(&mut self) {
        for ladder in &mut self.ladders {
            ladder.clear();
        }
        self.levels.clear();
        self.free_levels.clear();
        self.nodes.clear();
        self.free.clear();
        self.live = 0;
        self.stale = false;
        self.index.clear();
    }

    /// Live orders.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.live
    }

    /// Whether no order is live.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// A resting order; `None` if the id is not live.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Order> {
        self.find(id).filter(|&at| self.rests(at)).map(|at| self.order_at(at))
    }

    /// Where an order stands in its queue. Walks the orders before it.
    #[must_use]
    pub fn place(&self, id: u64) -> Option<Place> {
        let at = self.find(id).filter(|&at| self.rests(at))?;
        let node = &self.nodes[at as usize];
        let level = &self.levels[(node.level & !HIDDEN) as usize];
        let (mut orders_ahead, mut size_ahead) = (0, 0);
        if node.level & HIDDEN != 0 {
            (orders_ahead, size_ahead) = (u64::from(level.orders), level.size);
        }
        let mut before = node.prev;
        while before != NONE {
            let other = &self.nodes[before as usize];
            orders_ahead += 1;
            // Displayed and hidden sizes each fit 63 bits; their sum need not.
            size_ahead = size_ahead.saturating_add(other.size);
            before = other.prev;
        }
        Some(Place { orders_ahead, size_ahead: Size(size_ahead), level_size: Size(level.size) })
    }

    /// The best displayed bid and ask; zeros where there is none.
    #[must_use]
    pub fn quote(&self) -> Quote {
        let side =
            |side| self.best_shown(side).map_or((Price(0), Size(0)), |level| (Price(level.price), Size(level.size)));
        let (bid, bid_size) = side(Side::Bid);
        let (ask, ask_size) = side(Side::Ask);
        Quote { bid, bid_size, ask, ask_size }
    }

    /// Displayed levels of a side, from best to worst.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = OrderLevel> + '_ {
        self.all_levels(side).filter(|level| level.orders > 0).map(|level| OrderLevel {
            price: Price(level.price),
            size: Size(level.size),
            orders: level.orders,
        })
    }

    /// Orders of a side in the order in which they trade: by price, displayed before hidden, then by place.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = Order> + '_ {
        self.handles(side).map(|at| self.order_at(at))
    }

    /// As [`Self::orders`], each with its place: one walk for all of them.
    pub fn places(&self, side: Side) -> impl Iterator<Item = (Order, Place)> + '_ {
        self.all_levels(side).flat_map(move |level| {
            let mut place = Place { orders_ahead: 0, size_ahead: Size(0), level_size: Size(level.size) };
            self.queue(level).map(move |at| {
                let order = self.order_at(at);
                let own = place;
                place.orders_ahead += 1;
                place.size_ahead = Size(place.size_ahead.0.saturating_add(order.size.0));
                (order, own)
            })
        })
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.ladders.iter().map(Ladder::heap).sum::<usize>()
            + self.levels.capacity() * size_of::<Level>()
            + (self.free_levels.capacity() + self.free.capacity()) * size_of::<u32>()
            + self.nodes.capacity() * size_of::<Node<T>>()
            + self.index.heap()
    }
}

/// What the exchange builds on: orders by their place in the slab.
impl<T: Copy + Default> OrderBook<T> {
    #[inline]
    pub(crate) fn find(&self, id: u64) -> Option<u32> {
        self.index.find(id, |at| self.nodes[at as usize].id == id)
    }

    fn resting(&self, id: u64) -> Result<u32, OrderBookError> {
        self.find(id).filter(|&at| self.rests(at)).ok_or(OrderBookError::Unknown(id))
    }

    #[inline]
    pub(crate) fn node(&self, at: u32) -> &Node<T> {
        &self.nodes[at as usize]
    }

    #[inline]
    pub(crate) fn tag_mut(&mut self, at: u32) -> &mut T {
        &mut self.nodes[at as usize].tag
    }

    /// Whether it stands in the book.
    #[inline]
    pub(crate) fn rests(&self, at: u32) -> bool {
        self.nodes[at as usize].level != NONE
    }

    #[inline]
    pub(crate) fn is_hidden(&self, at: u32) -> bool {
        let level = self.nodes[at as usize].level;
        level != NONE && level & HIDDEN != 0
    }

    /// The level of an order that rests.
    #[inline]
    pub(crate) fn level_of(&self, at: u32) -> &Level {
        &self.levels[(self.nodes[at as usize].level & !HIDDEN) as usize]
    }

    fn order_at(&self, at: u32) -> Order {
        let node = &self.nodes[at as usize];
        let level = &self.levels[(node.level & !HIDDEN) as usize];
        Order {
            id: node.id,
            side: level.side,
            price: Price(level.price),
            size: Size(node.size),
            hidden: node.level & HIDDEN != 0,
        }
    }

    /// An order outside the book. The id must not be live. `None` if there are 2^31 orders.
    #[inline]
    pub(crate) fn park(&mut self, id: u64, size: i64, tag: T) -> Option<u32> {
        let node = Node { id, size, next: NONE, prev: NONE, level: NONE, tag };
        let at = if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            at
        } else {
            let at = u32::try_from(self.nodes.len()).ok().filter(|&at| at < HIDDEN - 1)?;
            if self.nodes.len() == self.nodes.capacity() {
                // Doubling would take up to twice the memory that the orders need.
                let capacity = self.nodes.len() + (self.nodes.len() / 4).max(64);
                crossbook_pages::grow(&mut self.nodes, capacity);
            }
            self.nodes.push(node);
            at
        };
        self.index.insert(id, at);
        self.live += 1;
        Some(at)
    }

    /// A displayed order at the tail of its price. The id must not be live. `None` if it does not fit.
    #[inline]
    pub(crate) fn insert(&mut self, id: u64, side: Side, price: i64, size: i64, tag: T) -> Option<u32> {
        let at = self.park(id, size, tag)?;
        if self.join(at, side, price, false) {
            return Some(at);
        }
        self.forget(at);
        None
    }

    /// Puts an order that stands outside the book at the tail of a price. Returns false, and does nothing, if the sizes
    /// there would not fit 63 bits.
    #[inline]
    pub(crate) fn join(&mut self, at: u32, side: Side, price: i64, hidden: bool) -> bool {
        let ladder = &mut self.ladders[side as usize];
        let (best, best_handle) = ladder.best();
        let handle = if best == price && best_handle != 0 { best_handle } else { ladder.get(price) };
        let place = if handle == 0 {
            let top = if best_handle == 0 || ladder.key(price) < ladder.key(best) { at } else { NONE };
            let level = Level { price, size: 0, hidden: 0, shown: EMPTY, unseen: EMPTY, orders: 0, top, side };
            let place = if let Some(place) = self.free_levels.pop() {
                self.levels[place as usize] = level;
                place
            } else {
                #[allow(clippy::cast_possible_truncation)] // at most as many levels as orders
                let place = self.levels.len() as u32;
                self.levels.push(level);
                place
            };
            ladder.set(price, i64::from(place) + 1);
            place
        } else {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // set above
            let place = (handle - 1) as u32;
            place
        };
        let level = &mut self.levels[place as usize];
        let size = self.nodes[at as usize].size;
        let (sum, queue) =
            if hidden { (&mut level.hidden, &mut level.unseen) } else { (&mut level.size, &mut level.shown) };
        let Some(total) = sum.checked_add(size) else { return false };
        *sum = total;
        let tail = queue.tail;
        queue.tail = at;
        if tail == NONE {
            queue.head = at;
        } else {
            self.nodes[tail as usize].next = at;
        }
        level.orders += u32::from(!hidden);
        let node = &mut self.nodes[at as usize];
        node.prev = tail;
        node.next = NONE;
        node.level = place | if hidden { HIDDEN } else { 0 };
        true
    }

    /// Takes an order out of the book; it stays live, outside.
    #[inline]
    pub(crate) fn leave(&mut self, at: u32) {
        let node = &mut self.nodes[at as usize];
        let (size, next, prev, place) = (node.size, node.next, node.prev, node.level);
        if place == NONE {
            return;
        }
        node.level = NONE;
        let hidden = place & HIDDEN != 0;
        let place = place & !HIDDEN;
        let level = &mut self.levels[place as usize];
        if level.top == at {
            level.top = NONE;
        }
        let queue = if hidden {
            level.hidden -= size;
            &mut level.unseen
        } else {
            level.size -= size;
            level.orders -= 1;
            &mut level.shown
        };
        if prev == NONE {
            queue.head = next;
        } else {
            self.nodes[prev as usize].next = next;
        }
        if next == NONE {
            queue.tail = prev;
        } else {
            self.nodes[next as usize].prev = prev;
        }
        if level.shown.head == NONE && level.unseen.head == NONE {
            self.ladders[level.side as usize].set(level.price, 0);
            self.free_levels.push(place);
        }
    }

    /// Gives a displayed order whose size was used up another size at the tail of its price. The level stays even if
    /// nothing else is there.
    pub(crate) fn requeue(&mut self, at: u32, size: i64) {
        let node = &mut self.nodes[at as usize];
        let (old, next, prev, place) = (node.size, node.next, node.prev, node.level);
        node.size = size;
        if place == NONE {
            return;
        }
        let level = &mut self.levels[(place & !HIDDEN) as usize];
        // Never more than stood there before: the new slice comes from what the order had.
        level.size += size - old;
        if level.top == at {
            level.top = NONE;
        }
        if next == NONE {
            return;
        }
        let tail = std::mem::replace(&mut level.shown.tail, at);
        if prev == NONE {
            level.shown.head = next;
        } else {
            self.nodes[prev as usize].next = next;
        }
        self.nodes[next as usize].prev = prev;
        self.nodes[tail as usize].next = at;
        let node = &mut self.nodes[at as usize];
        node.prev = tail;
        node.next = NONE;
    }

    /// Ends an order that stands outside the book: its id may be used again.
    #[inline]
    pub(crate) fn forget(&mut self, at: u32) {
        let id = self.nodes[at as usize].id;
        self.free.push(at);
        self.live -= 1;
        self.index.remove(id, at);
    }

    /// Reduces an order's size in its place. Reduced to nothing it still stands there, until it is given another size or
    /// leaves.
    #[inline]
    pub(crate) fn shrink(&mut self, at: u32, by: i64) {
        let node = &mut self.nodes[at as usize];
        node.size -= by;
        if node.level != NONE {
            let level = &mut self.levels[(node.level & !HIDDEN) as usize];
            if node.level & HIDDEN == 0 {
                level.size -= by;
            } else {
                level.hidden -= by;
            }
        }
    }

    /// Sets the size of an order that stands outside the book.
    pub(crate) fn resize(&mut self, at: u32, size: i64) {
        self.nodes[at as usize].size = size;
    }

    /// Says whether an order that rests set the price at which it does.
    pub(crate) fn set_top(&mut self, at: u32, top: bool) {
        let place = self.nodes[at as usize].level;
        if place != NONE {
            self.levels[(place & !HIDDEN) as usize].top = if top { at } else { NONE };
        }
    }

    /// The best price of a side, hidden orders too.
    #[inline]
    pub(crate) fn best(&self, side: Side) -> Option<i64> {
        let (price, handle) = self.ladders[side as usize].best();
        (handle != 0).then_some(price)
    }

    /// The level with the best price.
    #[inline]
    pub(crate) fn best_level(&self, side: Side) -> Option<&Level> {
        let (_, handle) = self.ladders[side as usize].best();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a place + 1
        (handle != 0).then(|| &self.levels[(handle - 1) as usize])
    }

    /// The best displayed level.
    pub(crate) fn best_shown(&self, side: Side) -> Option<&Level> {
        self.all_levels(side).find(|level| level.orders > 0)
    }

    pub(crate) fn level_at(&self, side: Side, price: i64) -> Option<&Level> {
        let handle = self.ladders[side as usize].get(price);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a place + 1
        (handle != 0).then(|| &self.levels[(handle - 1) as usize])
    }

    /// Levels of a side from best to worst, those of hidden orders alone too.
    pub(crate) fn all_levels(&self, side: Side) -> Levels<'_> {
        Levels { ladder: self.ladders[side as usize].iter(), levels: &self.levels }
    }

    /// A level's orders: the displayed ones, then the hidden ones.
    pub(crate) fn queue(&self, level: &Level) -> impl Iterator<Item = u32> + '_ {
        self.chain(level.shown.head).chain(self.chain(level.unseen.head))
    }

    /// A level's displayed orders.
    pub(crate) fn shown(&self, level: &Level) -> impl Iterator<Item = u32> + '_ {
        self.chain(level.shown.head)
    }

    /// A level's hidden orders.
    pub(crate) fn unseen(&self, level: &Level) -> impl Iterator<Item = u32> + '_ {
        self.chain(level.unseen.head)
    }

    fn chain(&self, head: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |at: u32| (at != NONE).then_some(at);
        std::iter::successors(some(head), move |&at| some(self.nodes[at as usize].next))
    }

    /// Orders of a side in the order in which they trade.
    pub(crate) fn handles(&self, side: Side) -> impl Iterator<Item = u32> + '_ {
        self.all_levels(side).flat_map(|level| self.queue(level))
    }
}

impl Level {
    /// The first to trade: displayed, else hidden.
    #[inline]
    pub(crate) const fn first(&self) -> u32 {
        if self.shown.head == NONE { self.unseen.head } else { self.shown.head }
    }

    /// Displayed orders.
    #[inline]
    pub(crate) const fn orders(&self) -> u32 {
        self.orders
    }

    /// The first displayed order, or [`NONE`].
    #[inline]
    pub(crate) const fn first_shown(&self) -> u32 {
        self.shown.head
    }
}

pub(crate) struct Levels<'a> {
    ladder: ladder::Iter<'a>,
    levels: &'a [Level],
}

impl<'a> Iterator for Levels<'a> {
    type Item = &'a Level;

    #[inline]
    fn next(&mut self) -> Option<&'a Level> {
        let (_, handle) = self.ladder.next()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a place + 1
        self.levels.get((handle - 1) as usize)
    }
}

#[cfg(test)]
mod tests;
