//! The system's allocator, counting by thread what is in use, so that tests beside each other do not disturb.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// Bytes that this thread took and did not give back.
pub fn live() -> i64 {
    LIVE.get()
}

/// From here on the peak is measured.
pub fn start() {
    PEAK.set(LIVE.get());
}

/// The most that was in use since the start.
pub fn peak() -> i64 {
    PEAK.get()
}

fn change(by: usize, more: bool) {
    let by = i64::try_from(by).unwrap_or(i64::MAX);
    let live = if more { LIVE.get() + by } else { LIVE.get() - by };
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

// SAFETY: every call is handed to the system's allocator as it came, and counting touches two `Cell`s that are
// initialised at compile time and have no destructor, so it neither allocates nor outlives its thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        change(layout.size(), true);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        change(layout.size(), true);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it moves, both may be there.
        change(size, true);
        change(layout.size(), false);
        // SAFETY: the caller keeps the contract of `realloc`, and `old` came from the system's allocator.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        change(layout.size(), false);
        // SAFETY: the caller keeps the contract of `dealloc`, and `old` came from the system's allocator.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
