//! Request ids for requests that came without one: UUID version 1 (RFC 9562), as InfluxDB sends them.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// 100 ns intervals between 1582-10-15, where UUIDs begin, and 1970-01-01.
const GREGORIAN_OFFSET: u64 = 0x01B2_1DD2_1381_4000;

/// A shard's source of ids, distinct from every other's by its random node part.
#[derive(Debug)]
pub struct RequestIds {
    last: u64,
    clock_sequence: u16,
    node: u64,
}

impl RequestIds {
    pub fn new(seed: [u8; 8]) -> Self {
        let seed = u64::from_le_bytes(seed);
        // The multicast bit says that the node part is no MAC address.
        Self { last: 0, clock_sequence: (seed >> 48) as u16 & 0x3FFF, node: seed & 0xFFFF_FFFF_FFFF | 1 << 40 }
    }

    /// Replaces `text` by the next id; `now_ns` is the wall clock. Ids ascend even where the clock does not.
    pub fn write_next(&mut self, now_ns: i64, text: &mut String) {
        let ticks = (now_ns.max(0) as u64 / 100).wrapping_add(GREGORIAN_OFFSET);
        self.last = ticks.max(self.last + 1);
        let Self { last, clock_sequence, node } = *self;
        text.clear();
        let groups = [
            (last, 8),
            (last >> 32, 4),
            (last >> 48 & 0xFFF | 0x1000, 4),
            (u64::from(clock_sequence | 0x8000), 4),
            (node, 12),
        ];
        for (group, digits) in groups {
            if !text.is_empty() {
                text.push('-');
            }
            text.extend((0..digits).rev().map(|digit| char::from(HEX[(group >> (4 * digit) & 0xF) as usize])));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_one_and_distinct_within_one_tick() {
        let mut ids = RequestIds::new(*b"anything");
        let (mut first, mut second) = (String::new(), String::new());
        // The example of RFC 9562, A.1: 2022-02-22T19:22:22Z.
        ids.write_next(1_645_557_742_000_000_000, &mut first);
        ids.write_next(1_645_557_742_000_000_000, &mut second);
        assert!(first.starts_with("c232ab00-9414-11ec-"), "{first}");
        assert!(second.starts_with("c232ab01-9414-11ec-"), "{second}");
        assert_eq!(first.len(), 36);
        assert!(matches!(first.as_bytes()[19], b'8'..=b'b'));
    }
}
