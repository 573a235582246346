//! Names of measurements and tags, numbered as a body brings them: a sink looks each of them up once for a body, and not once for a series.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::grammar::RESERVED_TAG_KEYS;
use super::parse::quick_hash;
use super::scan::vector::Vector;
use super::text::Padded;

/// Stands for a name without a number.
pub const NO_NAME: u32 = u32::MAX;
/// The owner of measurements.
pub(super) const ROOT: u32 = u32::MAX - 1;

/// Names that get a number. A body with more of them has no use for numbers.
const NAMES_MAX: usize = 1 << 14;
/// Places of the quick way to a name; a power of two.
const PLACES: usize = 512;

/// The names of a body so far.
#[derive(Debug, Default)]
pub(super) struct Names<'b> {
    names: Vec<Name<'b>>,
    /// The number of the name that was found last at each place. Empty until the first one.
    places: Vec<u16>,
    /// All names by their content and owner; keyed at random, as they come from outside.
    by_content: HashTable<u32>,
    hasher: RandomState,
}

/// A name as written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Name<'b> {
    pub raw: &'b [u8],
    pub start: usize,
    /// The number of the measurement that a tag belongs to.
    owner: u32,
    /// The first 8 bytes, as a number that sorts as they do.
    pub front: u64,
    pub reserved: bool,
}

impl<'b> Names<'b> {
    /// The name of this number.
    pub fn get(&self, number: u32) -> Option<&Name<'b>> {
        self.names.get(number as usize)
    }

    /// The number of the name at `start..end` of the measurement `owner`, or [`NO_NAME`].
    #[inline(always)]
    pub fn find<V: Vector>(&mut self, body: &Padded<'b>, start: usize, end: usize, owner: u32) -> u32 {
        let len = end - start;
        let place = (quick_hash(body, start, len) ^ owner.wrapping_mul(0x9E37_79B1)) as usize % PLACES;
        if let Some(number) = self.places.get(place)
            && let Some(name) = self.names.get(usize::from(*number))
            && name.raw.len() == len
            && name.owner == owner
            && body.same::<V>(name.start, start, len)
        {
            return u32::from(*number);
        }
        self.find_slowly(body.slice(start, end), start, owner, place)
    }

    #[inline(never)]
    fn find_slowly(&mut self, raw: &'b [u8], start: usize, owner: u32, place: usize) -> u32 {
        let Self { names, places, by_content, hasher } = self;
        let hash = |name: &Name<'_>| hasher.hash_one((name.raw, name.owner));
        let is_it = |number: &u32| (names[*number as usize].raw, names[*number as usize].owner) == (raw, owner);
        let reserved = RESERVED_TAG_KEYS.iter().any(|reserved| reserved.as_bytes() == raw);
        let name = Name { raw, start, owner, front: front(raw), reserved };
        let known = by_content.find(hash(&name), is_it).copied();
        let number = match known {
            Some(number) => number,
            None if names.len() == NAMES_MAX => return NO_NAME,
            None => {
                let number = names.len() as u32;
                names.push(name);
                by_content.insert_unique(hash(&name), number, |number| hash(&names[*number as usize]));
                number
            }
        };
        places.resize(PLACES, u16::MAX);
        places[place] = number as u16;
        number
    }
}

/// The first 8 bytes, as a number that sorts as they do.
#[inline(always)]
fn front(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => key.iter().fold(0, |front, byte| front << 8 | u64::from(*byte)) << (64 - 8 * key.len()),
    }
}
