//! The feed of changes (`GET /api/changes`). The manifest may be long, so a thread of its own reads it, one at a time, and shards wait without
//! being kept from their other connections.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::connections::SWEEP_INTERVAL;
use super::node::{Life, Node};
use crate::budget::{Budget, Consumer, Reservation};
use crate::lake::{self, Ask, Cursor, FeedError, Position};
use crate::write::{NoChanges, Since};

/// What an answer takes, beside what is gathered for it, as JSON: paths are written once more, with their frame.
const JSON_SHARE: usize = 2;

/// Positions that are remembered: of so many clients, each of which asks with the epoch that it was told last.
const POSITIONS_MAX: usize = 64;

/// What requests for changes share.
pub struct Feeder {
    /// Held by the one whose thread reads the manifest.
    turn: Semaphore,
    /// Where earlier answers ended, the newest last.
    positions: Arc<Mutex<VecDeque<Position>>>,
}

impl Default for Feeder {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), positions: Arc::default() }
    }
}

/// # Errors
/// The manifest cannot be read or does not know the epoch, there is no memory, or the node ends.
pub async fn read(node: &Node, since: Since) -> Result<Vec<u8>, NoChanges> {
    let ending = || NoChanges::Failed("the node is ending".to_owned());
    // Held until the answer is there, so that no client makes more threads by asking more often.
    let _turn = loop {
        match timeout(SWEEP_INTERVAL, node.feed.turn.acquire()).await {
            Ok(turn) => break turn.map_err(|_| ending())?,
            Err(_) if node.life() >= Life::Cutting => return Err(ending()),
            Err(_) => {}
        }
    };
    let (sender, mut answer) = oneshot::channel();
    let (data_dir, budget) = (node.context.config.data_dir.clone(), Arc::clone(&node.context.budget));
    let positions = Arc::clone(&node.feed.positions);
    let work = move || {
        // Nobody waits any more when the node ends.
        let _ = sender.send(json(&data_dir, since, &positions, &budget));
    };
    let spawned = std::thread::Builder::new().name("feed".to_owned()).spawn(work);
    spawned.map_err(|error| NoChanges::Failed(format!("the system refused a thread: {error}")))?;
    loop {
        match timeout(SWEEP_INTERVAL, &mut answer).await {
            Ok(answer) => return answer.map_err(|_| ending())?,
            Err(_) if node.life() >= Life::Cutting => return Err(ending()),
            Err(_) => {}
        }
    }
}

fn json(
    data_dir: &Path,
    since: Since,
    positions: &Mutex<VecDeque<Position>>,
    budget: &Arc<Budget>,
) -> Result<Vec<u8>, NoChanges> {
    let positions = || positions.lock().unwrap_or_else(PoisonError::into_inner);
    let from = positions().iter().find(|position| position.epoch == since.epoch).copied();
    let mut memory = Reservation::new(budget, Consumer::Bodies);
    let has_room = |bytes: usize| {
        let bytes = bytes * (1 + JSON_SHARE);
        bytes <= memory.bytes() || memory.try_grow(bytes - memory.bytes())
    };
    let files_max = usize::try_from(since.files_max).unwrap_or(usize::MAX);
    let cursor = since.cursor.map(|(checkpoint, files)| Cursor { checkpoint, files });
    let ask = Ask { since: since.epoch, cursor, files_max };
    let feed = lake::feed(data_dir, ask, from, has_room).map_err(|error| match error {
        FeedError::Lake(error) => NoChanges::Failed(error.to_string()),
        FeedError::Memory { .. } => NoChanges::NoMemory,
        FeedError::Ahead { .. } | FeedError::Forgotten { .. } | FeedError::Stale { .. } => {
            NoChanges::Gone(error.to_string())
        }
    })?;
    if let Some(position) = feed.position {
        let mut positions = positions();
        positions.retain(|known| known.epoch != position.epoch);
        positions.push_back(position);
        if positions.len() > POSITIONS_MAX {
            positions.pop_front();
        }
    }
    feed.to_json().map_err(|error| NoChanges::Failed(error.to_string()))
}
