//! Admission by a model: whatever is admitted finds its place and its memory. The queue's own assertions are the alarm.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::wal::disk::Chunk;
use crate::wal::gather::{Gather, Group, Lacks, Need};

#[derive(Clone, Debug)]
enum Act {
    /// Admits so many records of so many bytes each.
    Reserve(usize, usize),
    /// Appends the next record of the oldest reservation, or gives the reservation back.
    Append,
    Forget,
    /// The log thread takes a group; the one before is written.
    Take,
    /// A spare segment of so many bytes is there.
    Spare(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let bytes = prop_oneof![0..200usize, 4000..4100usize, 0..300_000usize, 0..6_000_000usize];
    prop_oneof![
        4 => (1..4usize, bytes).prop_map(|(records, bytes)| Act::Reserve(records, bytes)),
        6 => Just(Act::Append),
        1 => Just(Act::Forget),
        4 => Just(Act::Take),
        2 => (1..3000u64).prop_map(|blocks| Act::Spare(blocks * 4096)),
    ]
}

struct Queue {
    gather: Gather,
    reservations: VecDeque<(Need, usize, usize)>,
    in_flight: Option<Group>,
    /// What the segments really have.
    rest: u64,
    spare: u64,
    appended: u64,
    taken: u64,
}

impl Queue {
    fn act(&mut self, act: &Act) {
        match *act {
            Act::Reserve(records, bytes) => self.reserve(records, bytes),
            Act::Append => {
                if let Some((left, records, bytes)) = self.reservations.pop_front() {
                    let need = Need::of(bytes, 1);
                    let left = left.minus(need).expect("a reservation holds its records");
                    let record = Record { kind: Kind::Request, epoch: 1, births: 0, parts: &[&vec![1; bytes]] };
                    self.gather.append(&record, bytes, need);
                    self.appended += 1;
                    match records {
                        1 => self.gather.forget(left),
                        _ => self.reservations.push_front((left, records - 1, bytes)),
                    }
                }
            }
            Act::Forget => {
                if let Some((left, _, _)) = self.reservations.pop_back() {
                    self.gather.forget(left);
                }
            }
            Act::Take => self.take(),
            Act::Spare(bytes) => {
                if self.spare == 0 {
                    self.spare = bytes;
                    self.gather.set_spare(bytes);
                }
            }
        }
    }

    fn reserve(&mut self, records: usize, bytes: usize) {
        let need = Need::of(records * bytes, records);
        match self.gather.admit(need) {
            Ok(()) => self.reservations.push_back((need, records, bytes)),
            Err(Lacks::Chunks(count)) => {
                assert!(self.gather.grow(count));
                self.gather.add((0..count).map(|_| Chunk::new()).collect());
                assert_eq!(self.gather.admit(need), Ok(()), "the chunks that were lacking are there");
                self.reservations.push_back((need, records, bytes));
            }
            Err(Lacks::Room(reason)) => assert_eq!(reason, NoRoom::Disk),
        }
    }

    fn take(&mut self) {
        if let Some(written) = self.in_flight.take() {
            self.gather.take_back(written.payload_bytes() as u64, written.chunks);
            drop(self.gather.surplus());
        }
        let Some(group) = self.gather.take() else { return };
        if !self.gather.place(&group) {
            assert!(group.disk_bytes() > self.rest, "a segment is left only when it is full");
            self.rest = std::mem::take(&mut self.spare);
        }
        self.rest = self.rest.checked_sub(group.disk_bytes()).expect("it fits");
        self.taken += u64::from(group.records);
        self.in_flight = Some(group);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn whatever_is_admitted_finds_its_place(acts in prop::collection::vec(act(), 1..120)) {
        let budget = Budget::new(4 << 30);
        let mut queue = Queue {
            gather: Gather::new(&budget),
            reservations: VecDeque::new(),
            in_flight: None,
            rest: 0,
            spare: 0,
            appended: 0,
            taken: 0,
        };
        acts.iter().for_each(|act| queue.act(act));
        // At the end everything can be written, and nothing is held.
        while !queue.reservations.is_empty() {
            queue.act(&Act::Append);
        }
        while queue.taken < queue.appended || queue.in_flight.is_some() {
            queue.take();
        }
        prop_assert!(queue.gather.is_spare_idle());
        // What the acts needed, then what was needed since: nothing.
        drop((queue.gather.surplus(), queue.gather.surplus()));
        prop_assert!(budget.held_by(Consumer::LogQueue) <= 8 << 20);
    }
}
