//! Memory that can be written with O_DIRECT.

use std::ops::{Deref, DerefMut};

/// Bytes of a chunk. Smaller ones make longer lists for the kernel, larger ones waste more at the end of each group.
pub const CHUNK_BYTES: usize = 256 << 10;

#[repr(C, align(4096))]
struct Memory([u8; CHUNK_BYTES]);

const _: () = assert!(align_of::<Memory>() == crate::wal::format::BLOCK_BYTES, "O_DIRECT takes whole, aligned blocks");
const _: () = assert!(CHUNK_BYTES.is_multiple_of(crate::wal::format::BLOCK_BYTES), "a block lies in one chunk");

/// Aligned memory, written (by making it) and therefore resident.
pub struct Chunk(Box<Memory>);

impl Chunk {
    pub fn new() -> Self {
        Self(Box::new(Memory([0; CHUNK_BYTES])))
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.0
    }
}

impl DerefMut for Chunk {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0.0
    }
}
