//! Large pages for large vectors.
//!
//! Memory comes in pages of 4 KiB unless somebody asks for more. In a book of millions of orders every access then also
//! waits for the translation of its address: measured on a virtual machine over 256 MB, a random read takes 430 ns that
//! way and 180 ns in pages of 2 MiB, 30 and 12 ns where reads do not wait for one another; and fresh memory costs a
//! fault a page. Linux takes the advice where transparent huge pages are set to `madvise` or `always`, and passes over
//! it elsewhere; on other systems nothing is done. What the memory holds is never changed.
//!
//! This crate exists because the call is foreign, thus `unsafe`, and the engine forbids that of itself.

/// Bytes from which on it is worth asking: a few large pages.
pub const LARGE: usize = 8 << 20;

/// An empty vector with room for `capacity` elements, in large pages if that is [`LARGE`].
///
/// # Panics
/// As [`Vec::with_capacity`].
#[must_use]
pub fn vec_with_capacity<T>(capacity: usize) -> Vec<T> {
    let mut vec = Vec::with_capacity(capacity);
    advise(vec.spare_capacity_mut());
    vec
}

/// Makes room for so many elements in all. A large vector moves, so that all of it lies in large pages.
///
/// # Panics
/// As [`Vec::reserve_exact`].
pub fn grow<T: Copy>(vec: &mut Vec<T>, capacity: usize) {
    if size_of::<T>().saturating_mul(capacity) < LARGE {
        vec.reserve_exact(capacity.saturating_sub(vec.len()));
    } else if capacity > vec.capacity() {
        let mut larger = vec_with_capacity(capacity);
        larger.extend_from_slice(vec);
        *vec = larger;
    }
}

/// Advises the whole pages of some memory, best before it is first written.
fn advise<T>(memory: &mut [T]) {
    if size_of_val(memory) >= LARGE {
        system::advise(memory.as_mut_ptr().addr(), size_of_val(memory));
    }
}

#[cfg(target_os = "linux")]
mod system {
    /// Pages are at least that large, and a power of two: an address off a page is refused, which does no harm.
    const PAGE: usize = 4096;

    pub fn advise(address: usize, bytes: usize) {
        let from = address.next_multiple_of(PAGE);
        let length = (address + bytes).saturating_sub(from) / PAGE * PAGE;
        // SAFETY: the range lies within memory that the caller borrows, and this advice neither reads, writes nor unmaps
        // it: it sets a flag of the mapping that says in what pages the kernel may keep it. Wrong addresses are an
        // error code, which means that nothing was done.
        #[allow(unsafe_code)]
        unsafe {
            libc::madvise(std::ptr::without_provenance_mut(from), length, libc::MADV_HUGEPAGE);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub const fn advise(_address: usize, _bytes: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_in_large_pages_holds_what_was_put_into_it() {
        for capacity in [0, 1, 1_000, LARGE / 8, LARGE / 8 + 1, LARGE] {
            let mut vec: Vec<u64> = vec_with_capacity(capacity);
            assert!(vec.is_empty() && vec.capacity() >= capacity);
            vec.extend(0..capacity as u64);
            assert!(vec.iter().copied().eq(0..capacity as u64));
        }
    }

    #[test]
    fn a_vector_that_grows_keeps_its_elements() {
        let mut vec: Vec<(u64, u32)> = Vec::new();
        for place in 0..3 * LARGE as u64 / 16 {
            if vec.len() == vec.capacity() {
                let capacity = vec.len() + (vec.len() / 4).max(64);
                grow(&mut vec, capacity);
                assert!(vec.capacity() >= capacity);
            }
            vec.push((place, 7));
        }
        grow(&mut vec, 0);
        assert!(vec.iter().map(|(place, _)| *place).eq(0..3 * LARGE as u64 / 16));
    }

    #[test]
    fn elements_without_size_need_no_memory() {
        let mut vec: Vec<()> = vec_with_capacity(usize::MAX);
        grow(&mut vec, usize::MAX);
        assert!(vec.is_empty());
    }
}
