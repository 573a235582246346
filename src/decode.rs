//! Bodies as sent to bodies as parsed: gzip (RFC 1952).

use std::ptr::NonNull;

use libdeflate_sys as sys;

use crate::line::{PADDING, Padded};

/// Deflate cannot make more than this of one byte (RFC 1951: 258 bytes from two bits, less the framing).
const RATIO_MAX: usize = 1032;

/// Smallest output buffer that is tried.
const OUTPUT_BYTES_MIN: usize = 64 << 10;

/// Why a body could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GzipError {
    #[error("the gzip body is empty")]
    Empty,
    #[error("byte {offset} of the body does not start a valid gzip member: {}", if *offset == 0 { "bad header, data or checksum, or cut off" } else { "what follows the first member is damaged, cut off or not gzip" })]
    Corrupt { offset: usize },
    #[error("the body is larger than {bytes_max} bytes when decompressed")]
    TooLarge { bytes_max: usize },
    #[error("there is no memory to decompress the body")]
    NoMemory,
}

/// Decompresses bodies into a buffer that it keeps.
pub struct Gunzip {
    decompressor: NonNull<sys::libdeflate_decompressor>,
    output: Vec<u8>,
}

impl Gunzip {
    /// # Errors
    /// The allocation failed.
    pub fn new() -> Result<Self, GzipError> {
        // SAFETY: no preconditions; null means out of memory.
        let decompressor = unsafe { sys::libdeflate_alloc_decompressor() };
        Ok(Self { decompressor: NonNull::new(decompressor).ok_or(GzipError::NoMemory)?, output: Vec::new() })
    }

    /// Bytes on the heap that are kept for the next body.
    pub fn bytes(&self) -> usize {
        self.output.capacity()
    }

    /// Frees the output buffer.
    pub fn release(&mut self) {
        self.output = Vec::new();
    }

    /// Decompresses all members of `input`; at most `bytes_max` bytes. `reserve` is asked before the output grows to so many bytes.
    ///
    /// The size in a member's trailer is a hint and may lie.
    ///
    /// # Errors
    /// See [`GzipError`].
    pub fn decode(
        &mut self,
        input: &[u8],
        bytes_max: usize,
        mut reserve: impl FnMut(usize) -> bool,
    ) -> Result<Padded<'_>, GzipError> {
        if input.is_empty() {
            return Err(GzipError::Empty);
        }
        let possible = input.len().saturating_mul(RATIO_MAX).min(bytes_max);
        let hint = input.last_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
        self.grow(hint.max(OUTPUT_BYTES_MIN).min(possible), &mut reserve)?;
        let (mut read, mut written) = (0, 0);
        while read < input.len() {
            match self.member(&input[read..], written) {
                Ok((member, output)) => {
                    read += member;
                    written += output;
                }
                Err(sys::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE) => {
                    let capacity = self.output.len() - PADDING;
                    if capacity >= bytes_max {
                        return Err(GzipError::TooLarge { bytes_max });
                    }
                    self.grow((capacity * 2).min(bytes_max), &mut reserve)?;
                }
                Err(_) => return Err(GzipError::Corrupt { offset: read }),
            }
        }
        self.output[written..written + PADDING].fill(0);
        // The padding was written right above.
        Padded::new(&self.output, written).ok_or(GzipError::NoMemory)
    }

    /// Makes room for `capacity` bytes and the padding.
    fn grow(&mut self, capacity: usize, reserve: &mut impl FnMut(usize) -> bool) -> Result<(), GzipError> {
        if self.output.len() < capacity + PADDING {
            if !reserve(capacity + PADDING) {
                return Err(GzipError::NoMemory);
            }
            self.output.reserve_exact(capacity + PADDING - self.output.len());
            self.output.resize(capacity + PADDING, 0);
        }
        Ok(())
    }

    /// Decompresses the member at the start of `input` behind the first `written` bytes of output; returns bytes read and written.
    fn member(&mut self, input: &[u8], written: usize) -> Result<(usize, usize), sys::libdeflate_result> {
        let room = self.output.len() - PADDING - written;
        let (mut read, mut wrote) = (0, 0);
        // SAFETY: the decompressor is alive and used by one thread (`&mut self`); input and output are given with their true lengths,
        // `written <= output.len() - PADDING` because it is the sum of what fitted, and both counters outlive the call.
        let result = unsafe {
            sys::libdeflate_gzip_decompress_ex(
                self.decompressor.as_ptr(),
                input.as_ptr().cast(),
                input.len(),
                self.output.as_mut_ptr().add(written).cast(),
                room,
                &mut read,
                &mut wrote,
            )
        };
        if result == sys::libdeflate_result_LIBDEFLATE_SUCCESS { Ok((read, wrote)) } else { Err(result) }
    }
}

impl Drop for Gunzip {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed once.
        unsafe { sys::libdeflate_free_decompressor(self.decompressor.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use libdeflater::{CompressionLvl, Compressor};

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::default());
        let mut out = vec![0; compressor.gzip_compress_bound(data.len())];
        let len = compressor.gzip_compress(data, &mut out).unwrap();
        out.truncate(len);
        out
    }

    fn decode(input: &[u8], bytes_max: usize) -> Result<Vec<u8>, GzipError> {
        let mut gunzip = Gunzip::new().unwrap();
        gunzip.decode(input, bytes_max, |_| true).map(|body| body.as_bytes().to_vec())
    }

    #[test]
    fn every_member_is_decoded() {
        let input = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        assert_eq!(decode(&input, 100), Ok(b"one two".to_vec()));
    }

    #[test]
    fn sizes_that_lie_do_no_harm() {
        let data = vec![b'x'; 1 << 20];
        let mut input = gzip(&data);
        let trailer = input.len() - 4;
        input[trailer..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(decode(&input, 2 << 20), Err(GzipError::Corrupt { .. })));
        // Many members: the last one's size says nothing about the sum.
        let input: Vec<u8> = (0..40).flat_map(|_| gzip(&data[..100_000])).collect();
        assert_eq!(decode(&input, 4_000_000).map(|out| out.len()), Ok(4_000_000));
        assert_eq!(decode(&input, 3_999_999), Err(GzipError::TooLarge { bytes_max: 3_999_999 }));
    }

    #[test]
    fn truncation_garbage_and_damage_are_told() {
        let input = gzip(b"cpu usage=1\n");
        for cut in 1..input.len() {
            assert!(matches!(decode(&input[..cut], 100), Err(GzipError::Corrupt { offset: 0 })), "cut at {cut}");
        }
        assert_eq!(decode(b"", 100), Err(GzipError::Empty));
        assert_eq!(decode(&[&input[..], b"garbage"].concat(), 100), Err(GzipError::Corrupt { offset: input.len() }));
        let mut damaged = input.clone();
        damaged[input.len() - 8] ^= 1;
        assert_eq!(decode(&damaged, 100), Err(GzipError::Corrupt { offset: 0 }));
    }

    #[test]
    fn a_bomb_stops_at_the_limit_and_memory_is_asked_for() {
        let bomb = gzip(&vec![0; 10 << 20]);
        let mut gunzip = Gunzip::new().unwrap();
        let mut asked = 0;
        let result = gunzip.decode(&bomb, 1 << 20, |bytes| {
            asked = bytes;
            true
        });
        assert_eq!(result.err(), Some(GzipError::TooLarge { bytes_max: 1 << 20 }));
        assert_eq!(asked, (1 << 20) + PADDING);
        assert_eq!(gunzip.decode(&bomb, 20 << 20, |_| false).err(), Some(GzipError::NoMemory));
    }
}
