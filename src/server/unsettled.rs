//! Answers that may not be sent before the log is durable.

use std::ops::Range;
use std::time::Instant;

use super::shard::Shard;
use crate::http::Exchange;
use crate::wal::Wal;
use crate::write::{Caller, TraceId};

/// Most of them for which memory stays with a connection that waits for a request.
const KEPT_MAX: usize = 4;

/// The answers of a connection that wait, in the order of their requests.
#[derive(Default)]
pub struct Unsettled {
    held: Vec<Held>,
}

/// One that waits.
pub struct Held {
    /// When the request was complete.
    pub began: Instant,
    pub status: u16,
    /// Where it is in the bytes to be sent.
    pub answer: Range<usize>,
    /// Up to where the log must be durable; 0: not for this one.
    pub position: u64,
    /// Of the request.
    pub trace: Option<TraceId>,
}

impl Unsettled {
    pub fn hold(&mut self, held: Held) {
        self.held.push(held);
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Up to where the log must be durable for all of them.
    pub fn position(&self) -> u64 {
        self.held.iter().map(|held| held.position).max().unwrap_or(0)
    }

    /// They have waited long enough: for the log, or for its end, after which `out` must say other things.
    pub fn settle(&mut self, shard: &Shard, is_durable: bool, out: &mut Vec<u8>) {
        let context = &shard.node.context;
        let durable = if is_durable { u64::MAX } else { context.keeper.log().map_or(0, Wal::durable) };
        for held in &self.held {
            context.metrics.write_seconds.observe(held.began.elapsed().as_secs_f64());
            if held.position <= durable {
                context.metrics.answered(held.status);
            }
        }
        if !is_durable {
            self.take_back(shard, durable, out);
        }
        self.held.clear();
    }

    pub fn shrink(&mut self) {
        self.held.shrink_to(KEPT_MAX);
    }

    /// What an answer says the log will never hold: its request is told that instead, by its own name. All others stand.
    fn take_back(&self, shard: &Shard, durable: u64, out: &mut Vec<u8>) {
        let context = &shard.node.context;
        let response = shard.ingest.borrow().poisoned();
        let queued = std::mem::take(out);
        let mut copied = 0;
        for Held { answer, trace, .. } in self.held.iter().filter(|held| held.position > durable) {
            out.extend_from_slice(&queued[copied..answer.start]);
            copied = answer.end;
            let exchange = Exchange::of(&queued[answer.clone()]);
            let caller = Caller { request_id: exchange.request_id, trace: trace.as_ref() };
            caller.log_refusal(response.status);
            response.write_to(out, Exchange { trace_id: caller.trace_id(), ..exchange });
            context.metrics.answered(response.status.code());
        }
        out.extend_from_slice(&queued[copied..]);
    }
}
