//! A body whose end needs no care: 64 zero bytes follow it, so that wide loads may run over.

use super::scan::begins_with_short;
use super::scan::vector::Vector;

/// Readable zero bytes behind every body.
pub const PADDING: usize = 64;

/// The bytes of a body, followed in memory by [`PADDING`] zero bytes.
#[derive(Clone, Copy)]
pub struct Padded<'a> {
    /// The body and its padding.
    bytes: &'a [u8],
}

/// What follows from a position of a body on, and its padding. Only the parser makes one, so that a [`Sink`](super::Sink) can compare in
/// place without any check.
#[derive(Clone, Copy)]
pub struct Rest<'a> {
    bytes: &'a [u8],
}

impl<'a> Rest<'a> {
    /// Without the padding.
    pub fn as_bytes(self) -> &'a [u8] {
        &self.bytes[..self.len()]
    }

    #[inline(always)]
    pub fn len(self) -> usize {
        self.bytes.len() - PADDING
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The first 32 bytes; the padding counts.
    #[inline(always)]
    pub(super) fn first_32(self) -> &'a [u8; 32] {
        // SAFETY: there are at least `PADDING` bytes.
        unsafe { &*self.bytes.as_ptr().cast() }
    }

    /// Pointer to the first byte, from which `len` and [`PADDING`] bytes may be read.
    #[inline(always)]
    pub(super) fn pointer(self) -> *const u8 {
        self.bytes.as_ptr()
    }
}

impl<'a> Padded<'a> {
    /// The first `len` of `bytes`, if at least [`PADDING`] zero bytes follow them.
    pub fn new(bytes: &'a [u8], len: usize) -> Option<Self> {
        let bytes = bytes.get(..len.checked_add(PADDING)?)?;
        bytes[len..].iter().all(|byte| *byte == 0).then_some(Self { bytes })
    }

    /// Appends the padding to `body` and borrows the whole.
    pub fn from_vec(body: &'a mut Vec<u8>) -> Self {
        body.resize(body.len() + PADDING, 0);
        Self { bytes: body }
    }

    pub fn as_bytes(&self) -> &'a [u8] {
        &self.bytes[..self.len()]
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - PADDING
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Byte `at`; the padding counts.
    #[inline(always)]
    pub(super) fn at(&self, at: usize) -> u8 {
        debug_assert!(at < self.bytes.len());
        // SAFETY: every position that the parser forms is at most `len` plus a few bytes of look-ahead (a CR's follower, the first
        // byte of an absent token), because no scan passes the end of the body; the padding is 64 bytes. Fuzzed under AddressSanitizer.
        unsafe { *self.bytes.get_unchecked(at) }
    }

    /// Pointer to byte `at <= len`, from which 64 bytes may be read.
    #[inline(always)]
    pub(super) fn pointer(&self, at: usize) -> *const u8 {
        debug_assert!(at <= self.len());
        // SAFETY: `at` is at most `len`, inside of the slice.
        unsafe { self.bytes.as_ptr().add(at) }
    }

    /// What follows from `at <= len` on.
    #[inline(always)]
    pub(super) fn rest(&self, at: usize) -> Rest<'a> {
        debug_assert!(at <= self.len());
        // SAFETY: `at` is at most `len`, inside of the slice.
        Rest { bytes: unsafe { self.bytes.get_unchecked(at..) } }
    }

    #[inline(always)]
    pub(super) fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        debug_assert!(from <= to && to <= self.len());
        // SAFETY: the parser forms ranges from positions that it has passed, in order, none beyond the end.
        unsafe { self.bytes.get_unchecked(from..to) }
    }

    /// Whether the same `len` bytes stand at `one` and at `other`, if so many stand at `one`.
    #[inline(always)]
    pub(super) fn same<V: Vector>(&self, one: usize, other: usize, len: usize) -> bool {
        if len <= 32 {
            begins_with_short::<V>(self.rest(other), self.rest(one).first_32(), len)
        } else {
            other + len <= self.len() && self.slice(one, one + len) == self.slice(other, other + len)
        }
    }

    /// The 8 bytes from `at <= len` as a little-endian number.
    #[inline(always)]
    pub(super) fn eight(&self, at: usize) -> u64 {
        // SAFETY: `pointer` allows 64 bytes to be read; unaligned on purpose.
        u64::from_le(unsafe { self.pointer(at).cast::<u64>().read_unaligned() })
    }

    /// The 8 bytes from `at + skip` on, where `at <= len` and `skip` is within the padding.
    #[inline(always)]
    pub(super) fn ahead(&self, at: usize, skip: usize) -> u64 {
        debug_assert!(skip + 8 <= PADDING);
        // SAFETY: `pointer` allows 64 bytes to be read; unaligned on purpose.
        u64::from_le(unsafe { self.pointer(at).add(skip).cast::<u64>().read_unaligned() })
    }

    /// Whether a line ends at `at`: LF, CR before LF, CR before the end of the body, or the end itself.
    #[inline(always)]
    pub(super) fn ends_line(&self, at: usize) -> bool {
        match self.at(at) {
            b'\n' => true,
            b'\r' => self.at(at + 1) == b'\n' || at + 1 == self.len(),
            0 => at == self.len(),
            _ => false,
        }
    }

    /// The start of the line after the one that ends at `at` (see [`Self::ends_line`]).
    #[inline(always)]
    pub(super) fn after_line_end(&self, at: usize) -> usize {
        let feed = at + usize::from(self.at(at) == b'\r');
        (feed + 1).min(self.len())
    }
}
