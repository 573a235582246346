//! Series keys as written, side by side in chunks that do not move: there may be millions of them.

use crate::line::PADDING;

/// Most bytes of a chunk.
const CHUNK_BYTES: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 20;

/// Keys, each with the space that ended it. Behind the keys of a chunk there is padding.
#[derive(Debug)]
pub struct Keys {
    /// The last one is being filled.
    chunks: Vec<Vec<u8>>,
}

/// Where a key starts: number of the chunk and position in it.
#[derive(Clone, Copy, Debug)]
pub struct Place(u32);

impl Place {
    #[inline(always)]
    fn chunk(self) -> usize {
        (self.0 >> CHUNK_BITS) as usize
    }

    #[inline(always)]
    fn start(self) -> usize {
        self.0 as usize & (CHUNK_BYTES - 1)
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self { chunks: vec![vec![0; PADDING]] }
    }
}

impl Keys {
    /// The key of `len` bytes at a place.
    #[inline(always)]
    pub fn get(&self, place: Place, len: u32) -> &[u8] {
        &self.chunks[place.chunk()][place.start()..][..len as usize]
    }

    /// What begins with the key at a place and its space, and has [`PADDING`] more bytes behind them.
    #[inline(always)]
    pub fn padded(&self, place: Place) -> &[u8] {
        &self.chunks[place.chunk()][place.start()..]
    }

    /// Appends a key of at most [`KEY_BYTES_MAX`](crate::line::grammar::KEY_BYTES_MAX) bytes.
    pub fn push(&mut self, key: &[u8]) -> Place {
        let needed = key.len() + 1 + PADDING;
        if self.chunks.last().is_none_or(|chunk| chunk.len() + needed > CHUNK_BYTES) {
            // The first one grows, as many caches stay small.
            let room = if self.chunks.is_empty() { PADDING } else { CHUNK_BYTES };
            let mut chunk = Vec::with_capacity(room);
            chunk.extend_from_slice(&[0; PADDING]);
            self.chunks.push(chunk);
        }
        let number = self.chunks.len() - 1;
        let chunk = &mut self.chunks[number];
        let start = chunk.len() - PADDING;
        chunk.truncate(start);
        chunk.reserve(needed);
        chunk.extend_from_slice(key);
        chunk.push(b' ');
        chunk.extend_from_slice(&[0; PADDING]);
        Place((number << CHUNK_BITS | start) as u32)
    }

    /// Forgets the key at a place, and all behind it.
    pub fn truncate(&mut self, place: Place) {
        self.chunks.truncate(place.chunk() + 1);
        if let Some(chunk) = self.chunks.get_mut(place.chunk()) {
            chunk.truncate(place.start());
            chunk.extend_from_slice(&[0; PADDING]);
        }
    }

    /// Bytes of all keys, about.
    pub fn len(&self) -> usize {
        let last = self.chunks.last().map_or(0, |chunk| chunk.len() - PADDING);
        (self.chunks.len() - 1) * CHUNK_BYTES + last
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum::<usize>() + self.chunks.capacity() * size_of::<Vec<u8>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_where_they_are_and_have_their_padding() {
        let mut keys = Keys::default();
        let key = |number: usize| vec![b'a' + (number % 26) as u8; 1 + number * 997 % 65_535];
        let places: Vec<Place> = (0..200).map(|number| keys.push(&key(number))).collect();
        assert!(keys.chunks.len() > 3);
        for (number, place) in places.iter().enumerate() {
            let key = key(number);
            assert_eq!(keys.get(*place, key.len() as u32), key);
            let padded = keys.padded(*place);
            assert!(padded.len() >= key.len() + 1 + PADDING);
            assert_eq!(padded[key.len()], b' ');
        }
        for number in (0..200).rev().step_by(7) {
            keys.truncate(places[number]);
            let chunk = &keys.chunks[places[number].chunk()];
            assert_eq!(chunk[chunk.len() - PADDING..], [0; PADDING]);
            assert!(keys.len() <= keys.bytes());
        }
        let place = keys.push(b"again");
        assert_eq!(keys.get(place, 5), b"again");
        assert_eq!(keys.get(places[0], 1), key(0));
    }
}
