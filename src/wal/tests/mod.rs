//! The log as its callers and a later start see it, on every disk.
#![allow(clippy::unwrap_used)]

mod admission;
mod groups;
mod image;
mod life;
mod note;
mod poison;
mod room;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::Backend;
use super::disk::faulty::{Fault, Faults};
use super::log::{NoRoom, Options, Record, Space, Wal};
use super::{Kind, WalError};
use crate::budget::{Budget, Consumer};
use crate::metrics::Metrics;

/// A log in a folder of its own, and whoever waits for it.
pub struct Log {
    pub wal: Wal,
    pub budget: Arc<Budget>,
    pub metrics: Arc<Metrics>,
    /// Told whenever the log has moved.
    moved: crossbeam::channel::Receiver<()>,
}

const MIB: u64 = 1 << 20;

pub fn options(dir: &Path) -> Options {
    let (bytes_max, segment_bytes) = (64 * MIB, 16 * MIB);
    let note = dir.join("note");
    Options { dir: dir.join("wal"), note, owner: *b"thisnode", bytes_max, segment_bytes, disk_reserve: 0, sync: true }
}

/// Every way to the disk that this machine has.
pub fn backends() -> Vec<Backend> {
    let mut all = Backend::candidates(true).to_vec();
    all.extend_from_slice(Backend::candidates(false));
    all.push(Backend::Faulty(Faults::new(|_| Fault::None)));
    all
}

impl Log {
    pub fn start(backend: &Backend, options: Options) -> Self {
        Self::try_start(backend, options).unwrap()
    }

    pub fn try_start(backend: &Backend, options: Options) -> Result<Self, WalError> {
        let budget = Budget::new(1 << 30);
        let metrics = Metrics::new(&budget);
        let (tell, moved) = crossbeam::channel::unbounded();
        let tell = Box::new(move || {
            let _ = tell.send(());
        });
        let wal = Wal::start_on(std::slice::from_ref(backend), options, &budget, &metrics, tell)?;
        Ok(Self { wal, budget, metrics, moved })
    }

    /// Waits until `done`, looking whenever the log has moved.
    #[track_caller]
    pub fn wait_until(&self, what: &str, done: impl Fn(&Wal) -> bool) {
        let started = Instant::now();
        while !done(&self.wal) {
            let _ = self.moved.recv_timeout(Duration::from_millis(5));
            assert!(started.elapsed() < Duration::from_secs(30), "waited in vain until {what}");
        }
    }

    #[track_caller]
    pub fn wait_for(&self, position: u64) {
        self.wait_until("durable", |wal| wal.durable() >= position);
    }

    /// Room, asked for until there is some.
    #[track_caller]
    pub fn room(&self, bytes: usize) -> Space<'_> {
        let started = Instant::now();
        loop {
            match self.wal.reserve(bytes, 1) {
                Ok(space) => return space,
                Err(reason) => assert!(started.elapsed() < Duration::from_secs(30), "no room: {reason:?}"),
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Queues a request.
    #[track_caller]
    pub fn append(&self, epoch: u64, payload: &[u8]) -> u64 {
        self.room(payload.len()).append(Record { kind: Kind::Request, epoch, births: 0, parts: &[payload] })
    }

    /// Queues `count` requests; the last one's position.
    #[track_caller]
    pub fn append_many(&self, count: u64, bytes: usize) -> u64 {
        (0..count).fold(0, |_, number| self.append(1, &payload(number, bytes)))
    }

    /// Queues a request and waits until it is durable: a group of its own.
    #[track_caller]
    pub fn write(&self, epoch: u64, payload: &[u8]) {
        let position = self.append(epoch, payload);
        self.wait_for(position);
    }

    /// Waits until reserving fails for want of room in the segments.
    #[track_caller]
    pub fn fill(&self, epoch: u64, bytes: usize) {
        let started = Instant::now();
        let mut refused = None;
        // Not only because the next segment is being made.
        while refused.is_none_or(|refused: Instant| refused.elapsed() < Duration::from_millis(400)) {
            match self.wal.reserve(bytes, 1) {
                Ok(mut space) => {
                    let parts = &[&payload(0, bytes)[..]];
                    let position = space.append(Record { kind: Kind::Request, epoch, births: 0, parts });
                    self.wait_for(position);
                    refused = None;
                }
                Err(NoRoom::Disk) => {
                    refused.get_or_insert_with(Instant::now);
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(other) => panic!("{other:?}"),
            }
            assert!(started.elapsed() < Duration::from_secs(30), "never full");
        }
    }

    #[track_caller]
    pub fn write_births(&self, births: u64, payload: &[u8]) {
        let record = Record { kind: Kind::Births, epoch: 0, births, parts: &[payload] };
        let position = self.room(payload.len()).append(record);
        self.wait_for(position);
    }
}

/// Files of a log's folder, and their bytes.
pub fn files(dir: &Path) -> (usize, u64) {
    let entries = std::fs::read_dir(dir.join("wal")).unwrap();
    entries.fold((0, 0), |(files, bytes), entry| (files + 1, bytes + entry.unwrap().metadata().unwrap().len()))
}

/// A payload that tells its number and differs in every byte from its neighbours'.
pub fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload: Vec<u8> = (0..bytes).map(|at| (at as u64 * 7 + number * 31) as u8).collect();
    for (byte, number) in payload.iter_mut().zip(number.to_le_bytes()) {
        *byte = number;
    }
    payload
}
