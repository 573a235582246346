//! What the generic kernel asks of a vector.

/// `BYTES` bytes side by side.
pub trait Vector: Copy {
    /// At most 64, the padding of a body.
    const BYTES: usize;

    /// One mark per byte.
    type Marks: Marks;

    /// Runs the task with the instructions of this vector, in a function of its own.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn run<T: Task>(task: T) -> T::Output;

    fn splat(byte: u8) -> Self;

    /// # Safety
    /// `BYTES` bytes must be readable at `at`.
    unsafe fn load(at: *const u8) -> Self;

    /// Marks the bytes that are equal.
    fn eq(self, other: Self) -> Self::Marks;

    /// Whether no byte's highest bit is set.
    fn is_ascii(self) -> bool;

    /// Whether the lowest `len <= BYTES` bytes are the same in both.
    fn same(self, other: Self, len: usize) -> bool;
}

/// Work on vectors. `run` must be inlined (`#[inline(always)]`) with all that it calls: a function of its own that is generic over vectors has no
/// instructions but those that all processors of the family have. That is why a closure will not do.
pub trait Task {
    type Output;

    fn run<V: Vector>(self) -> Self::Output;
}

/// Which bytes of a vector are meant.
pub trait Marks: Copy {
    /// The mark of byte `i` is bit `i << SHIFT` or one of those up to the next byte's.
    const SHIFT: u32;

    fn or(self, other: Self) -> Self;

    /// One bit per mark.
    fn bits(self) -> u64;

    /// Index of the lowest mark.
    #[inline(always)]
    fn first(self) -> Option<usize> {
        let bits = self.bits();
        (bits != 0).then(|| (bits.trailing_zeros() >> Self::SHIFT) as usize)
    }

    /// How many.
    #[inline(always)]
    fn count(self) -> u32 {
        self.bits().count_ones()
    }
}
