//! Any bytes as a gzip body, and any bytes compressed into members.

use libdeflater::{CompressionLvl, Compressor};
use ringest::decode::{Gunzip, GzipError};

/// Small, so that short inputs reach it.
const BYTES_MAX: usize = 1 << 16;

/// The first byte says into how many members the rest is cut; the rest is also taken as a body as it is.
///
/// # Panics
/// What was compressed does not come back, or a limit is passed.
pub fn gunzip(data: &[u8]) {
    let Some((members, data)) = data.split_first() else { return };
    let mut gunzip = Gunzip::new().expect("a decompressor is small");
    if let Ok(body) = gunzip.decode(data, BYTES_MAX, |_| true) {
        assert!(body.len() <= BYTES_MAX);
    }
    let size = data.len() / (1 + usize::from(*members)) + 1;
    let compressed: Vec<u8> = data.chunks(size).flat_map(gzip).collect();
    match gunzip.decode(&compressed, BYTES_MAX, |_| true) {
        Ok(body) => assert_eq!(body.as_bytes(), data),
        Err(GzipError::Empty) => assert!(data.is_empty()),
        Err(error) => assert!(data.len() > BYTES_MAX, "{error}"),
    }
    // A flipped bit in a trailer never goes unseen.
    if let Some(last) = compressed.len().checked_sub(1 + usize::from(*members) % 8) {
        let mut damaged = compressed;
        damaged[last] ^= 1 << (members % 8);
        assert!(gunzip.decode(&damaged, BYTES_MAX, |_| true).is_err());
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::fastest());
    let mut out = vec![0; compressor.gzip_compress_bound(data.len())];
    let len = compressor.gzip_compress(data, &mut out).expect("the bound is enough");
    out.truncate(len);
    out
}
