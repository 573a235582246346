//! How a chunk of each type is packed. The loops have neither branches nor calls, so that the compiler makes vector code of those that
//! pack; those that read choose the width once for all values and not once for each.

use std::ops::{Range, RangeInclusive};

use super::super::prefetch::prefetch;
use super::{CHUNK, Move, Packed, move_each};

/// A chunk of integers: how far each is from the first one, in as few bytes as the farthest needs.
#[derive(Debug)]
pub struct PackedIntegers {
    base: i64,
    distances: Distances,
}

#[derive(Debug)]
enum Distances {
    /// All are the first one.
    Zero,
    One(Box<[i8]>),
    Two(Box<[i16]>),
    Four(Box<[i32]>),
    /// With the least and the greatest of the values.
    Eight(Box<[i64]>, RangeInclusive<i64>),
}

static ZEROS: [i8; CHUNK] = [0; CHUNK];

#[inline(always)]
fn away(base: i64, distance: impl Into<i64>) -> i64 {
    base.wrapping_add(distance.into())
}

/// `$then` with `$slice` for the distances, whatever their type.
macro_rules! with_distances {
    ($distances:expr, $slice:ident => $then:expr) => {
        match $distances {
            Distances::Zero => {
                let $slice = &ZEROS;
                $then
            }
            Distances::One($slice) => $then,
            Distances::Two($slice) => $then,
            Distances::Four($slice) => $then,
            Distances::Eight($slice, _) => $then,
        }
    };
}

fn least_and_greatest(values: &[i64; CHUNK]) -> RangeInclusive<i64> {
    let (least, greatest) =
        values.iter().fold((i64::MAX, i64::MIN), |(least, greatest), value| (least.min(*value), greatest.max(*value)));
    least..=greatest
}

impl PackedIntegers {
    /// A range that all values lie in, without a look at them: as wide as their distances can be.
    pub(super) fn bounds(&self) -> RangeInclusive<i64> {
        let reach = |least: i64, greatest: i64| {
            let ends = self.base.checked_add(least).zip(self.base.checked_add(greatest));
            // A distance may have wrapped: then its value can be anywhere.
            ends.map_or(i64::MIN..=i64::MAX, |(least, greatest)| least..=greatest)
        };
        match &self.distances {
            Distances::Zero => self.base..=self.base,
            Distances::One(_) => reach(i8::MIN.into(), i8::MAX.into()),
            Distances::Two(_) => reach(i16::MIN.into(), i16::MAX.into()),
            Distances::Four(_) => reach(i32::MIN.into(), i32::MAX.into()),
            Distances::Eight(_, values) => values.clone(),
        }
    }
}

impl Packed for PackedIntegers {
    type Value = i64;

    fn pack(values: &[i64; CHUNK]) -> Self {
        let base = values[0];
        // Bits in which any distance differs from zero, and from its sign: distances wrap, so that every integer has one.
        let (mut any, mut magnitude) = (0, 0);
        for value in values {
            let distance = value.wrapping_sub(base);
            any |= distance;
            magnitude |= distance ^ (distance >> 63);
        }
        let distances = || values.iter().map(|value| value.wrapping_sub(base));
        let distances = match i64::BITS - magnitude.leading_zeros() {
            0 if any == 0 => Distances::Zero,
            0..8 => Distances::One(distances().map(|distance| distance as i8).collect()),
            8..16 => Distances::Two(distances().map(|distance| distance as i16).collect()),
            16..32 => Distances::Four(distances().map(|distance| distance as i32).collect()),
            _ => Distances::Eight(distances().collect(), least_and_greatest(values)),
        };
        Self { base, distances }
    }

    #[inline]
    fn get(&self, at: usize) -> i64 {
        with_distances!(&self.distances, distances => away(self.base, distances[at]))
    }

    #[inline]
    fn each(&self, range: Range<usize>, mut each: impl FnMut(i64)) {
        let base = self.base;
        with_distances!(&self.distances, distances => {
            distances[range].iter().for_each(|distance| each(away(base, *distance)));
        });
    }

    #[inline]
    fn each_move(&self, start: u32, moves: &[Move], mut each: impl FnMut(u32, i64)) -> usize {
        let base = self.base;
        with_distances!(&self.distances, distances => {
            move_each(&distances[..], start, moves, |to, distance| each(to, away(base, distance)))
        })
    }

    #[inline]
    fn prefetch(&self, at: usize) {
        match &self.distances {
            Distances::Zero => {}
            Distances::One(distances) => distances.get(at).into_iter().for_each(prefetch),
            Distances::Two(distances) => distances.get(at).into_iter().for_each(prefetch),
            Distances::Four(distances) => distances.get(at).into_iter().for_each(prefetch),
            Distances::Eight(distances, _) => distances.get(at).into_iter().for_each(prefetch),
        }
    }

    fn extend_into(&self, range: Range<usize>, out: &mut Vec<i64>) {
        let base = self.base;
        with_distances!(&self.distances, distances => {
            out.extend(distances[range].iter().map(|distance| away(base, *distance)));
        });
    }

    fn bytes(&self) -> usize {
        match &self.distances {
            Distances::Zero => 0,
            Distances::One(distances) => size_of_val(&**distances),
            Distances::Two(distances) => size_of_val(&**distances),
            Distances::Four(distances) => size_of_val(&**distances),
            Distances::Eight(distances, _) => size_of_val(&**distances),
        }
    }
}

/// A chunk of floats, bit by bit.
#[derive(Debug)]
pub enum PackedFloats {
    /// All are this one.
    Same(f64),
    /// Whole numbers, which many sensors tell as floats.
    Whole(PackedIntegers),
    Any(Box<[f64]>),
}

/// 2^52 + 2^51. The sum of this and a whole number of at most 51 bits has the number in its low bits, so that vector code can convert both
/// ways, which few processors have an instruction for.
const SHIFT: f64 = 6_755_399_441_055_744.0;

/// The whole number that `value` is; anything if it is none.
#[inline(always)]
fn whole(value: f64) -> i64 {
    (value + SHIFT).to_bits().wrapping_sub(SHIFT.to_bits()) as i64
}

#[inline(always)]
fn float(whole: i64) -> f64 {
    f64::from_bits(SHIFT.to_bits().wrapping_add(whole as u64)) - SHIFT
}

/// Values that are looked at before the next ones are.
const PIECE: usize = 64;

/// Whether all are whole numbers that come back bit by bit (a negative zero does not).
fn are_whole(values: &[f64; CHUNK]) -> bool {
    let mut pieces = values.chunks_exact(PIECE);
    pieces.all(|piece| {
        let come_back = |value: &f64| float(whole(*value)).to_bits() ^ value.to_bits();
        piece.iter().fold(0, |differs, value| differs | come_back(value)) == 0
    })
}

fn are_same(values: &[f64; CHUNK]) -> bool {
    let first = values[0].to_bits();
    let mut pieces = values.chunks_exact(PIECE);
    pieces.all(|piece| piece.iter().fold(0, |differs, value| differs | (value.to_bits() ^ first)) == 0)
}

impl Packed for PackedFloats {
    type Value = f64;

    fn pack(values: &[f64; CHUNK]) -> Self {
        if are_same(values) {
            Self::Same(values[0])
        } else if are_whole(values) {
            let mut wholes = [0; CHUNK];
            wholes.iter_mut().zip(values).for_each(|(out, value)| *out = whole(*value));
            Self::Whole(PackedIntegers::pack(&wholes))
        } else {
            Self::Any(values.as_slice().into())
        }
    }

    #[inline]
    fn get(&self, at: usize) -> f64 {
        match self {
            Self::Same(value) => *value,
            Self::Whole(wholes) => float(wholes.get(at)),
            Self::Any(values) => values[at],
        }
    }

    #[inline]
    fn each(&self, range: Range<usize>, mut each: impl FnMut(f64)) {
        match self {
            Self::Same(value) => range.for_each(|_| each(*value)),
            Self::Whole(wholes) => wholes.each(range, |whole| each(float(whole))),
            Self::Any(values) => values[range].iter().for_each(|value| each(*value)),
        }
    }

    #[inline]
    fn each_move(&self, start: u32, moves: &[Move], mut each: impl FnMut(u32, f64)) -> usize {
        match self {
            Self::Same(value) => move_each(&ZEROS, start, moves, |to, _| each(to, *value)),
            Self::Whole(wholes) => wholes.each_move(start, moves, |to, whole| each(to, float(whole))),
            Self::Any(values) => move_each(values, start, moves, each),
        }
    }

    #[inline]
    fn prefetch(&self, at: usize) {
        match self {
            Self::Same(_) => {}
            Self::Whole(wholes) => wholes.prefetch(at),
            Self::Any(values) => values.get(at).into_iter().for_each(prefetch),
        }
    }

    fn extend_into(&self, range: Range<usize>, out: &mut Vec<f64>) {
        match self {
            Self::Same(value) => out.extend(range.map(|_| *value)),
            Self::Whole(wholes) => wholes.each(range, |whole| out.push(float(whole))),
            Self::Any(values) => out.extend_from_slice(&values[range]),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Same(_) => 0,
            Self::Whole(wholes) => wholes.bytes(),
            Self::Any(values) => size_of_val(&**values),
        }
    }
}

/// A chunk of booleans: a bit each.
#[derive(Debug)]
pub struct PackedBooleans(Box<[u64; CHUNK / 64]>);

impl Packed for PackedBooleans {
    type Value = bool;

    fn pack(values: &[bool; CHUNK]) -> Self {
        let mut words = [0; CHUNK / 64];
        for (word, values) in words.iter_mut().zip(values.chunks_exact(64)) {
            *word = values.iter().rev().fold(0, |word, value| word << 1 | u64::from(*value));
        }
        Self(Box::new(words))
    }

    #[inline]
    fn get(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    #[inline]
    fn each(&self, range: Range<usize>, mut each: impl FnMut(bool)) {
        range.for_each(|at| each(self.get(at)));
    }

    #[inline]
    fn each_move(&self, start: u32, moves: &[Move], mut each: impl FnMut(u32, bool)) -> usize {
        let here = moves.iter().take_while(|one| one.from - start < CHUNK as u32);
        here.map(|Move { from, to }| each(*to, self.get((from - start) as usize))).count()
    }

    #[inline]
    fn prefetch(&self, at: usize) {
        self.0.get(at / 64).into_iter().for_each(prefetch);
    }

    fn extend_into(&self, range: Range<usize>, out: &mut Vec<bool>) {
        out.extend(range.map(|at| self.get(at)));
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}
