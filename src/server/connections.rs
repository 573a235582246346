//! A shard's connections and their deadlines. A sweep finds the late ones and shuts their sockets down; the pending operation then
//! ends by itself and the connection's task finds out why. No operation is ever dropped.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use crate::net::Stream;

/// Time between two sweeps; deadlines are exact to about one of these.
pub const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The first byte of a request.
    Request,
    /// The rest of a head.
    Head,
    /// More of a body.
    Body,
    /// The client to take an answer.
    Answer,
    /// The client to stop sending, after the last answer.
    End,
    /// Memory or the lake: bounded by whoever waits.
    Node,
}

impl Wait {
    /// How long that may take.
    const fn limit(self) -> Option<Duration> {
        match self {
            // Longer than clients keep connections in their pools, so that they close first.
            Self::Request => Some(Duration::from_secs(300)),
            Self::Head | Self::Body | Self::Answer => Some(Duration::from_secs(30)),
            Self::End => Some(Duration::from_secs(5)),
            Self::Node => None,
        }
    }
}

/// One connection as the sweep sees it.
pub struct Connection {
    pub stream: Stream,
    waits: Cell<Wait>,
    /// The tick at which it is late.
    deadline: Cell<u64>,
    is_late: Cell<bool>,
}

impl Connection {
    /// Whether a request came too slowly (its receiving side is shut down, the answer can still be sent).
    pub fn is_late(&self) -> bool {
        self.is_late.get()
    }

    pub fn waits(&self) -> Wait {
        self.waits.get()
    }

    fn expire(&self) {
        match self.waits.get() {
            // The client may still listen: the read ends, and the task answers with 408.
            Wait::Head | Wait::Body if !self.is_late.replace(true) => self.stream.shut_down(Shutdown::Read),
            _ => self.stream.shut_down(Shutdown::Both),
        }
    }
}

/// All connections of a shard.
#[derive(Default)]
pub struct Connections {
    /// Sweeps since the shard began: a clock that costs nothing to read, and that stands still when the shard does.
    tick: Cell<u64>,
    last: Cell<u64>,
    open: RefCell<HashMap<u64, Rc<Connection>>>,
}

impl Connections {
    /// Enters a new connection; the number is for [`Self::leave`].
    pub fn enter(&self, stream: Stream) -> (u64, Rc<Connection>) {
        let number = self.last.get() + 1;
        self.last.set(number);
        let connection = Rc::new(Connection {
            stream,
            waits: Cell::new(Wait::Node),
            deadline: Cell::new(u64::MAX),
            is_late: Cell::new(false),
        });
        self.open.borrow_mut().insert(number, Rc::clone(&connection));
        (number, connection)
    }

    pub fn leave(&self, number: u64) {
        self.open.borrow_mut().remove(&number);
    }

    pub fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// `connection` waits for `wait` from now on.
    pub fn set_wait(&self, connection: &Connection, wait: Wait) {
        connection.waits.set(wait);
        let ticks = wait.limit().map(|limit| limit.as_millis().div_ceil(SWEEP_INTERVAL.as_millis()) as u64);
        connection.deadline.set(ticks.map_or(u64::MAX, |ticks| self.tick.get() + ticks));
    }

    /// One tick: shuts down what is late.
    pub fn sweep(&self) {
        let tick = self.tick.get() + 1;
        self.tick.set(tick);
        for connection in self.open.borrow().values().filter(|connection| connection.deadline.get() <= tick) {
            connection.expire();
        }
    }

    /// Ends the connections that wait for a request. One whose first bytes are under way is served (only its receiving side is shut
    /// down, and what has arrived is still read).
    pub fn end_idle(&self) {
        for connection in self.open.borrow().values().filter(|connection| connection.waits.get() == Wait::Request) {
            connection.stream.shut_down(Shutdown::Read);
        }
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.open.borrow().values().for_each(|connection| connection.stream.shut_down(Shutdown::Both));
    }
}
