//! Chunks against vectors.
#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What happens to a column, as many times or up to where the number says.
#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    /// A value takes the place of the last one.
    Replace,
    /// Keeps so many of 1 000 parts.
    Truncate(usize),
    /// Keeps what ends with a chunk.
    TruncateToChunk,
    Read(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3 * CHUNK).prop_map(Step::Push),
        2 => (0..5usize).prop_map(Step::Push),
        2 => Just(Step::Replace),
        1 => (0..1_000usize).prop_map(Step::Truncate),
        1 => (950..1_000usize).prop_map(Step::Truncate),
        1 => Just(Step::TruncateToChunk),
        3 => (0..1_000usize, 0..1_000usize).prop_map(|(a, b)| Step::Read(a.min(b), a.max(b))),
    ]
}

/// Takes both through the same steps; `bits` makes values comparable.
fn follow<P: Packed>(steps: &[Step], mut value: impl FnMut() -> P::Value, bits: impl Fn(&P::Value) -> u64) {
    let (mut chunked, mut plain) = (Chunked::<P>::default(), Vec::new());
    let all = |values: &[P::Value]| values.iter().map(&bits).collect::<Vec<u64>>();
    for step in steps {
        match step {
            Step::Push(count) => {
                for _ in 0..*count {
                    let value = value();
                    chunked.push(value);
                    plain.push(value);
                }
            }
            Step::Replace if plain.is_empty() => {}
            Step::Replace => {
                chunked.truncate(plain.len() - 1);
                plain.pop();
                let value = value();
                chunked.push(value);
                plain.push(value);
            }
            Step::Truncate(parts) => {
                let len = plain.len() * parts / 999;
                chunked.truncate(len);
                plain.truncate(len);
            }
            Step::TruncateToChunk => {
                let len = plain.len() / CHUNK * CHUNK;
                chunked.truncate(len);
                plain.truncate(len);
            }
            Step::Read(from, to) => {
                let range = plain.len() * from / 999..plain.len() * to / 999;
                let mut read = Vec::new();
                chunked.extend_into(range.clone(), &mut read);
                assert_eq!(all(&read), all(&plain[range.clone()]));
                let mut each = Vec::new();
                chunked.each(range.clone(), |value| each.push(value));
                assert_eq!(all(&each), all(&read));
                for index in range.clone().step_by(3) {
                    assert_eq!(bits(&chunked.get(index)), bits(&plain[index]));
                }
                // Some of the values, turned round.
                let moves = range.clone().filter(|index| index % 5 > *from % 2);
                let moves = moves.map(|index| Move { from: index as u32, to: (range.end - 1 - index) as u32 });
                let moves: Vec<Move> = moves.collect();
                let (mut there, mut want) =
                    (vec![P::Value::default(); range.len()], vec![P::Value::default(); range.len()]);
                chunked.scatter(&moves, &mut there);
                moves.iter().for_each(|one| want[one.to as usize] = plain[one.from as usize]);
                assert_eq!(all(&there), all(&want));
            }
        }
        assert_eq!((chunked.len(), chunked.is_empty()), (plain.len(), plain.is_empty()));
        let chunks: usize = chunked.chunks.iter().map(Packed::bytes).sum();
        let own = chunked.tail.len() * size_of::<P::Value>() + chunked.chunks.capacity() * size_of::<P>();
        assert_eq!(chunked.bytes(), own + chunks);
        assert!(chunked.tail.len() <= CHUNK);
    }
    let read: Vec<P::Value> = chunked.iter().collect();
    assert_eq!(all(&read), all(&plain));
}

/// xorshift64*: values that are cheap to make many of.
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// `usual`, and rarely one of `edges`, so that chunks of every kind come up.
fn mixed<T: Copy>(seed: u64, rarely: u64, mut usual: impl FnMut(u64) -> T, edges: &[T]) -> impl FnMut() -> T {
    let mut random = random(seed);
    move || {
        let number = random();
        if number.is_multiple_of(rarely) { edges[(number >> 32) as usize % edges.len()] } else { usual(number) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn integers_are_as_in_a_vector(steps in vec(step(), 1..12), seed: u64, bits in 0..64u32, start: i64, rarely in 100..6_000u64) {
        let usual = |number: u64| start.wrapping_add((number >> bits) as i64);
        let edges = [i64::MIN, i64::MAX, 0, -1, start, start.wrapping_add(127), start.wrapping_sub(129), u64::MAX as i64];
        follow::<PackedIntegers>(&steps, mixed(seed, rarely, usual, &edges), |value| *value as u64);
    }

    #[test]
    fn integers_lie_in_the_range_of_their_ends_and_in_none_smaller(len in 1..4 * CHUNK, seed: u64, bits in 0..64u32, start: i64, rarely in 100..6_000u64) {
        let edges = [start, i64::MIN, i64::MAX, 0];
        let mut value = mixed(seed, rarely, |number| start.wrapping_add((number >> bits) as i64), &edges);
        let plain: Vec<i64> = (0..len).map(|_| value()).collect();
        let integers: Integers = plain.iter().copied().collect();
        let (least, greatest) = (*plain.iter().min().unwrap(), *plain.iter().max().unwrap());
        prop_assert!(integers.lie_in(least..=greatest));
        prop_assert!(integers.lie_in(i64::MIN..=i64::MAX));
        prop_assert!(!integers.lie_in(least.saturating_add(1)..=greatest) || least == i64::MAX);
        prop_assert!(!integers.lie_in(least..=greatest.saturating_sub(1)) || greatest == i64::MIN);
    }

    #[test]
    fn floats_are_as_in_a_vector(steps in vec(step(), 1..12), seed: u64, bits in 24..60u32, fraction: bool, rarely in 100..6_000u64) {
        let scale = if fraction { 0.1 } else { 1.0 };
        let usual = |number: u64| f64::from((number as i64 >> bits) as i32) * scale;
        let edges = [
            -0.0, 0.0, f64::NAN, -f64::NAN, f64::from_bits(0x7FF0_0000_0000_0001), f64::from_bits(0xFFF8_0000_DEAD_BEEF),
            f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.1, 2_147_483_648.0, -2_147_483_649.0, 4e15,
        ];
        follow::<PackedFloats>(&steps, mixed(seed, rarely, usual, &edges), |value| value.to_bits());
    }

    #[test]
    fn booleans_are_as_in_a_vector(steps in vec(step(), 1..12), seed: u64) {
        follow::<PackedBooleans>(&steps, mixed(seed, 7, |number| number >> 63 == 1, &[true]), |value| u64::from(*value));
    }

    #[test]
    fn strings_are_as_in_a_vector(steps in vec(step(), 1..10), seed: u64, length in 0..60usize) {
        let mut random = random(seed);
        let (mut strings, mut plain) = (Strings::default(), Vec::<Vec<u8>>::new());
        for step in &steps {
            match step {
                Step::Push(count) => (0..*count).for_each(|_| {
                    let number = random();
                    let string = number.to_string().bytes().cycle().take(number as usize % (length + 1)).collect::<Vec<u8>>();
                    strings.push(&string);
                    plain.push(string);
                }),
                Step::Replace if plain.is_empty() => {}
                Step::Replace => {
                    plain.pop();
                    plain.push(b"in its place".to_vec());
                    strings.truncate(plain.len() - 1);
                    strings.push(b"in its place");
                }
                Step::Truncate(parts) => {
                    plain.truncate(plain.len() * parts / 999);
                    strings.truncate(plain.len());
                }
                Step::TruncateToChunk => {
                    plain.truncate(plain.len() / CHUNK * CHUNK);
                    strings.truncate(plain.len());
                }
                Step::Read(from, to) => {
                    let range = plain.len() * from / 999..plain.len() * to / 999;
                    prop_assert!(range.into_iter().all(|index| strings.get(index) == plain[index]));
                }
            }
            prop_assert_eq!((strings.len(), strings.is_empty()), (plain.len(), plain.is_empty()));
            prop_assert_eq!(strings.items(), plain.iter().map(Vec::len).sum::<usize>());
            strings.check_bytes();
        }
        prop_assert!((0..plain.len()).all(|index| strings.get(index) == plain[index]));
    }
}

/// The width of a chunk of `base` with one value that is `distance` away.
fn packed_bytes_of(base: i64, distance: i64) -> usize {
    let mut values = [base; CHUNK];
    values[CHUNK / 2] = base.wrapping_add(distance);
    let packed = PackedIntegers::pack(&values);
    let mut out = Vec::new();
    packed.extend_into(0..CHUNK, &mut out);
    assert_eq!(out, values);
    assert!((0..CHUNK).all(|at| packed.get(at) == values[at]));
    packed.bytes() / CHUNK
}

#[test]
fn integers_take_as_many_bytes_as_the_farthest_needs() {
    for base in [0, -1, 1, 127, -128, i64::MAX, i64::MIN, 1_767_225_600_000_000_000, u64::MAX as i64] {
        assert_eq!(packed_bytes_of(base, 0), 0, "{base}");
        for (bytes, bits) in [(1, 8), (2, 16), (4, 32)] {
            let most = (1i64 << (bits - 1)) - 1;
            for distance in [most, -most - 1] {
                assert_eq!(packed_bytes_of(base, distance), bytes, "{base} {distance}");
            }
            for distance in [most + 1, -most - 2] {
                assert_eq!(packed_bytes_of(base, distance), 2 * bytes, "{base} {distance}");
            }
        }
        for distance in [1, -1] {
            assert_eq!(packed_bytes_of(base, distance), 1, "{base} {distance}");
        }
        for distance in [i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(packed_bytes_of(base, distance), 8, "{base} {distance}");
        }
    }
}

/// The width of a chunk of `usual` with one `other`.
fn packed_float_bytes(usual: f64, other: f64) -> usize {
    let mut values = [usual; CHUNK];
    values[CHUNK - 1] = other;
    let packed = PackedFloats::pack(&values);
    let mut out = Vec::new();
    packed.extend_into(0..CHUNK, &mut out);
    for (at, value) in values.iter().enumerate() {
        assert_eq!(
            (out[at].to_bits(), packed.get(at).to_bits()),
            (value.to_bits(), value.to_bits()),
            "{usual} {other}"
        );
    }
    packed.bytes() / CHUNK
}

#[test]
fn floats_come_back_bit_by_bit_and_whole_ones_are_narrow() {
    let nan = |bits: u64| f64::from_bits(0x7FF0_0000_0000_0000 | bits);
    for same in [0.0, -0.0, 0.1, f64::NAN, nan(1), -nan(0xDEAD), f64::INFINITY] {
        assert_eq!(packed_float_bytes(same, same), 0, "{same}");
    }
    for (other, bytes) in [
        (127.0, 1),
        (-128.0, 1),
        (128.0, 2),
        (-129.0, 2),
        (32_767.0, 2),
        (-32_769.0, 4),
        (2_147_483_647.0, 4),
        (-2_147_483_648.0, 4),
        (2_147_483_648.0, 8),
        (-2_147_483_649.0, 8),
        (-0.0, 8),
        (0.5, 8),
        (5e-324, 8),
        (f64::MAX, 8),
        (f64::MIN, 8),
        (f64::INFINITY, 8),
        (f64::NEG_INFINITY, 8),
        (nan(1), 8),
        (nan(0x8_0000_0000_0000), 8),
        (-nan(0xDEAD), 8),
    ] {
        assert_eq!(packed_float_bytes(0.0, other), bytes, "{other}");
        assert_ne!(packed_float_bytes(1.0, other), 0, "{other}");
    }
    // Sums with the number that shifts: around its bits, its own value, and what cancels it.
    for power in 31..=54 {
        for near in [-1.0, -0.5, 0.0, 0.5, 1.0] {
            for sign in [1.0, -1.0] {
                let value = sign * (2f64.powi(power) + near);
                let is_narrow = value == value.trunc() && i32::try_from(value as i64).is_ok();
                assert_eq!(packed_float_bytes(0.0, value), if is_narrow { 4 } else { 8 }, "{value}");
            }
        }
    }
    assert_eq!(packed_float_bytes(1.0, -6_755_399_441_055_744.0), 8);
    assert_eq!(packed_float_bytes(1.0, 6_755_399_441_055_744.0), 8);
}

#[test]
fn a_column_of_few_values_stays_small() {
    let integers: Integers = (0..3).collect();
    assert_eq!(integers.bytes(), 4 * 8);
    let integers: Integers = (0..100_000).map(|index| index % 100).collect();
    assert!(integers.bytes() < 100_000 + 16_384, "{}", integers.bytes());
    let same: Floats = (0..100_000).map(|_| 0.1).collect();
    assert!(same.bytes() < 16_384, "{}", same.bytes());
}

#[test]
fn a_copy_shares_all_but_the_tail_and_is_its_own() {
    let mut tags: Lists<u64> = Lists::default();
    let list = |index: usize| vec![index as u64; index % 5];
    (0..2 * CHUNK + 9).for_each(|index| tags.push(&list(index)));
    let mut copy = tags.clone();
    assert_eq!(copy.shared_chunks(&tags), 2);
    assert!(copy.iter().eq(tags.iter()) && copy.iter().count() == tags.len());
    copy.truncate(CHUNK + 7);
    copy.push(&[1]);
    assert_eq!(copy.shared_chunks(&tags), 1);
    copy.check_bytes();
    tags.check_bytes();
    assert!((0..tags.len()).all(|index| tags.get(index) == list(index)));
    assert_eq!((copy.len(), copy.get(CHUNK + 6), copy.get(CHUNK + 7)), (CHUNK + 8, &*list(CHUNK + 6), &[1][..]));
}

#[test]
fn long_strings_are_chunked_as_short_ones_are() {
    let mut strings = Strings::default();
    let long = vec![b'x'; 1 << 20];
    for index in 0..2 * CHUNK + 1 {
        if index % 500 == 7 { strings.push(&long) } else { strings.push(index.to_string().as_bytes()) }
    }
    for index in (0..2 * CHUNK + 1).rev().step_by(3) {
        let want = if index % 500 == 7 { long.clone() } else { index.to_string().into_bytes() };
        assert_eq!(strings.get(index), want);
    }
    strings.truncate(CHUNK + 508);
    assert_eq!(strings.get(CHUNK + 507), (CHUNK + 507).to_string().as_bytes());
    strings.check_bytes();
    strings.truncate(0);
    assert_eq!((strings.len(), strings.items()), (0, 0));
    strings.check_bytes();
}
