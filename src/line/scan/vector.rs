//! What the generic kernel asks of a vector.

/// `BYTES` bytes side by side.
pub trait Vector: Copy {
    /// At most 64, the padding of a body.
    const BYTES: usize;

    fn splat(byte: u8) -> Self;

    /// # Safety
    /// `BYTES` bytes must be readable at `at`.
    unsafe fn load(at: *const u8) -> Self;

    /// Marks the bytes that are equal. In [`first`](Self::first) only the lowest mark counts: an implementation may mark a byte above a
    /// true one by mistake.
    fn eq(self, other: Self) -> Self;

    fn or(self, other: Self) -> Self;

    /// Index of the lowest mark of an [`eq`](Self::eq).
    fn first(self) -> Option<usize>;

    /// Whether the lowest `len <= BYTES` bytes are the same in both.
    fn same(self, other: Self, len: usize) -> bool;
}
