//! A shard's connections and their deadlines. A sweep finds the late ones and shuts their sockets down; the pending operation then
//! ends by itself and the connection's task finds out why. No operation is ever dropped.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use crate::config::Config;
use crate::net::Stream;

/// Time between two sweeps; deadlines are exact to about one of these.
pub const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
const SWEEPS_PER_SECOND: u64 = 1_000 / SWEEP_INTERVAL.as_millis() as u64;

/// How long a client that was told its last answer may send nothing before it is not waited for.
const END_SILENCE: Duration = Duration::from_secs(3);

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

/// How long clients may take, in sweeps.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Between two requests.
    idle: u64,
    /// For a head, for the next bytes of a body, for taking an answer.
    request: u64,
    /// Bytes per second that a body has to bring on average.
    body_rate_min: u64,
}

/// What a body has brought, and how many sweeps it was waited for; what the node itself took does not count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    pub bytes: u64,
    pub sweeps: u64,
}

impl Patience {
    pub fn new(config: &Config) -> Self {
        Self {
            idle: sweeps(config.idle_timeout),
            request: sweeps(config.request_timeout),
            body_rate_min: config.body_rate_min as u64,
        }
    }

    /// For how many sweeps `wait` may last; `None`: for ever.
    fn of(&self, wait: Wait) -> Option<u64> {
        match wait {
            Wait::Request => Some(self.idle),
            Wait::Head | Wait::Body | Wait::Answer => Some(self.request),
            Wait::End => Some(sweeps(END_SILENCE).min(self.request)),
            Wait::Node => None,
        }
    }

    /// For how many sweeps a body may bring nothing more. It has as much in advance as a pause may take, so that the start of a
    /// connection on a bad line is not judged, and earns the rest; what it earned does not pay for a longer pause.
    fn of_body(&self, pace: Pace) -> u64 {
        let earned = pace.bytes.saturating_mul(SWEEPS_PER_SECOND) / self.body_rate_min;
        self.request.saturating_add(earned).saturating_sub(pace.sweeps).min(self.request)
    }
}

/// `time` in sweeps, rounded up.
fn sweeps(time: Duration) -> u64 {
    time.as_millis().div_ceil(SWEEP_INTERVAL.as_millis()) as u64
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
            // The read ends, and the task closes the connection: with TLS not without a word.
            Wait::Request if self.stream.is_secured() => self.stream.shut_down(Shutdown::Read),
            _ => self.stream.shut_down(Shutdown::Both),
        }
    }
}

/// All connections of a shard.
pub struct Connections {
    patience: Patience,
    /// Sweeps since the shard began: a clock that costs nothing to read, and that stands still when the shard does.
    tick: Cell<u64>,
    last: Cell<u64>,
    open: RefCell<HashMap<u64, Rc<Connection>>>,
}

impl Connections {
    pub fn new(patience: Patience) -> Self {
        Self { patience, tick: Cell::new(0), last: Cell::new(0), open: RefCell::default() }
    }

    /// Sweeps so far.
    pub fn tick(&self) -> u64 {
        self.tick.get()
    }

    /// The tick at which a client that still sends after its last answer is not listened to any more.
    pub fn end_of_patience(&self) -> u64 {
        self.tick.get() + self.patience.request
    }

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
        connection.deadline.set(self.patience.of(wait).map_or(u64::MAX, |sweeps| self.tick.get() + sweeps));
    }

    /// `connection` waits for more of a body that has come at this pace.
    pub fn set_wait_for_body(&self, connection: &Connection, pace: Pace) {
        connection.waits.set(Wait::Body);
        connection.deadline.set(self.tick.get() + self.patience.of_body(pace));
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use super::*;
    use crate::budget::Budget;
    use crate::net::{Bound, Listener, Pool, Ring, Tls};

    const PATIENCE: Patience = Patience { idle: 1_200, request: 120, body_rate_min: 4_096 };

    /// Sweeps until the connection is late for `wait`; hands over both ends and the result of a read that was pending meanwhile.
    fn late(wait: Wait, test: impl AsyncFnOnce(&Connection, TcpStream, std::io::Result<usize>)) {
        let bound = Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = TcpStream::connect(bound.address()).unwrap();
        let pool = Pool::new(&Budget::new(1 << 20), 1 << 16);
        Ring::new().unwrap().block_on(async {
            let connections = Connections::new(PATIENCE);
            let (number, connection) = connections.enter(Listener::from(bound).accept().await.unwrap());
            connections.set_wait(&connection, wait);
            let sweeps = async {
                let ticks = PATIENCE.of(wait).unwrap();
                for _ in 1..ticks {
                    connections.sweep();
                }
                // The read is pending by then.
                tokio::time::sleep(Duration::from_millis(20)).await;
                assert!(!connection.is_late());
                connections.sweep();
            };
            let ((result, _), ()) = tokio::join!(connection.stream.read(pool.take_idle(), 100), sweeps);
            test(&connection, client, result).await;
            connections.leave(number);
            assert!(connections.is_empty());
        });
    }

    #[test]
    fn a_slow_request_can_still_be_answered() {
        for wait in [Wait::Head, Wait::Body] {
            late(wait, async |connection, mut client, result| {
                assert!(matches!(result, Ok(0)), "{result:?}");
                assert!(connection.is_late());
                connection.stream.write_all(b"too late".to_vec()).await.0.unwrap();
                connection.stream.shut_down(Shutdown::Write);
                let mut answer = String::new();
                client.read_to_string(&mut answer).unwrap();
                assert_eq!(answer, "too late");
            });
        }
    }

    #[test]
    fn an_idle_connection_is_closed() {
        late(Wait::Request, async |connection, mut client, result| {
            assert!(matches!(result, Ok(0)), "{result:?}");
            assert!(!connection.is_late());
            assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        });
    }

    #[test]
    fn a_body_lives_on_what_it_brings() {
        let left = |bytes, sweeps| PATIENCE.of_body(Pace { bytes, sweeps });
        assert_eq!(left(0, 0), 120, "a pause as long as the request timeout is granted in advance");
        assert_eq!(left(0, 100), 20);
        assert_eq!(left(0, 120), 0);
        // 40 960 bytes at 4 096 a second are 10 s, or 40 sweeps.
        assert_eq!(left(40_960, 120), 40);
        assert_eq!(left(40_960, 160), 0);
        assert_eq!(left(1 << 40, 200), 120, "what came early pays for no longer pause");
        assert_eq!(left(u64::MAX, u64::MAX), 0);
    }

    #[test]
    fn an_idle_connection_with_tls_ends_with_a_goodbye() {
        let budget = Budget::new(1 << 20);
        let (tls, _) = Tls::self_signed(&budget);
        let bound = Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = TcpStream::connect(bound.address()).unwrap();
        Ring::new().unwrap().block_on(async {
            let connections = Connections::new(PATIENCE);
            let stream = Listener::from(bound).accept().await.unwrap().secured(&tls).unwrap();
            let (_, connection) = connections.enter(stream);
            connections.set_wait(&connection, Wait::Request);
            let ticks = PATIENCE.of(Wait::Request).unwrap();
            (0..ticks).for_each(|_| connections.sweep());
            let (result, _) = connection.stream.read(Pool::new(&budget, 1 << 16).take_idle(), 100).await;
            assert!(matches!(result, Ok(0)), "{result:?}");
            // As the connection's task does then.
            connections.set_wait(&connection, Wait::End);
            connection.stream.say_goodbye().await;
            connections.cut();
            let mut told = Vec::new();
            client.read_to_end(&mut told).unwrap();
            assert_eq!(told.first(), Some(&21), "an alert, which close_notify is: {told:?}");
        });
    }
}
