//! Compaction: files of one table and day become fewer and larger, sorted and unique as a whole.
//!
//! [`merge`](merge::merge) reads committed files and writes what takes their place aside, in bounded memory, with the encoder that a flush
//! has. Which files, and when, is for `plan` and `worker`; making the exchange durable is the publisher's.

mod input;
mod merge;
mod slice;

#[cfg(test)]
pub(super) use input::Partition;
#[cfg(test)]
pub(super) use merge::{Limits, Merged, MergeError, Source, Task, merge};
