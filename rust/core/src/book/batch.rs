//! A book run over columns, with the top of the book written after every message or row.

use super::PriceBook;
use crate::event::{Flags, Kind};
use crate::tape::TapeView;
use crate::units::{Price, Side, Size};

/// When the top of the book is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// At the end of every exchange message that concerns the book: what a reader should see.
    Message,
    /// After every row.
    Row,
}

/// The top of a book in columns. A missing level has price and size 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopRows {
    /// Index of the row in the input after which this is the top.
    pub row: Vec<u64>,
    /// Four columns a level, best first: bid, bid size, ask, ask size.
    pub levels: Vec<Vec<i64>>,
}

impl TopRows {
    /// Empties the rows, keeps the memory, and makes room for `rows` of `levels` levels.
    fn prepare(&mut self, levels: usize, rows: usize) {
        self.levels.resize_with(levels * 4, Vec::new);
        self.row.clear();
        self.row.reserve(rows);
        for column in &mut self.levels {
            column.clear();
            column.reserve(rows);
        }
    }

    #[inline]
    fn push(&mut self, row: usize, book: &PriceBook, changed: Option<(u8, Price)>) {
        self.row.push(row as u64);
        if let [bid, bid_size, ask, ask_size] = self.levels.as_mut_slice() {
            let quote = book.quote();
            bid.push(quote.bid.0);
            bid_size.push(quote.bid_size.0);
            ask.push(quote.ask.0);
            ask_size.push(quote.ask_size.0);
        } else {
            self.push_deep(book, changed);
        }
    }

    /// Apart, so that the quote alone stays small enough to be inlined.
    #[inline(never)]
    fn push_deep(&mut self, book: &PriceBook, changed: Option<(u8, Price)>) {
        for (side, at) in [(Side::Bid, 0), (Side::Ask, 2)] {
            // Most changes lie behind the top or on the other side: the row before still holds then.
            let deepest = self.levels.len() - 4 + at;
            let known = match (changed, self.levels[deepest].last(), self.levels[deepest + 1].last()) {
                (Some((other, _)), Some(_), _) if other != side as u8 => true,
                (Some((_, price)), Some(&worst), Some(&size)) if size != 0 => match side {
                    Side::Bid => price.0 < worst,
                    Side::Ask => price.0 > worst,
                },
                _ => false,
            };
            if known {
                for columns in self.levels.chunks_exact_mut(4) {
                    for column in &mut columns[at..at + 2] {
                        let last = column.last().copied().unwrap_or_default();
                        column.push(last);
                    }
                }
                continue;
            }
            let mut levels = book.levels(side);
            for columns in self.levels.chunks_exact_mut(4) {
                let (price, size) = levels.next().unwrap_or_default();
                columns[at].push(price.0);
                columns[at + 1].push(size.0);
            }
        }
    }
}

impl PriceBook {
    /// Sets level after level, side 0 bid and 1 ask, and writes the top `levels` after each row. Columns of unequal
    /// length are read up to the shortest; a side that is neither is passed over but keeps its row.
    pub fn update_rows(&mut self, side: &[u8], price: &[i64], size: &[i64], levels: usize, out: &mut TopRows) {
        out.prepare(levels, side.len());
        for (row, ((side, price), size)) in side.iter().zip(price).zip(size).enumerate() {
            let (price, size) = (Price(*price), Size(*size));
            // One copy of the update a side: no branch on the side within.
            match side {
                0 => drop(self.update(Side::Bid, price, size)),
                1 => drop(self.update(Side::Ask, price, size)),
                _ => {}
            }
            out.push(row, self, Some((*side, price)));
        }
    }

    /// Applies the events of one instrument and writes the top `levels` at message ends or after every row. Rows are
    /// counted through all tapes.
    pub fn apply_tapes(
        &mut self,
        tapes: &[TapeView<'_>],
        instrument: u32,
        every: Every,
        levels: usize,
        out: &mut TopRows,
    ) {
        out.prepare(levels, tapes.iter().map(TapeView::len).sum());
        for (row, event) in tapes.iter().flat_map(TapeView::iter).enumerate() {
            if event.instrument != instrument {
                continue;
            }
            self.apply(&event);
            let depth = matches!(event.kind, Kind::Level | Kind::Clear | Kind::Gap);
            if every == Every::Row || (depth && event.flags.contains(Flags::LAST)) {
                out.push(row, self, None);
            }
        }
    }
}
