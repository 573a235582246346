//! The loop of a run: one thread, all connections.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::bodies::{Bodies, Body};
use super::connection::{Answered, Connection, Flight};
use super::pace::Schedule;
use super::probe::Probe;
use super::report::{Latencies, Report, Second};
use super::{LoadError, Options};

/// The timer's token; connections count from 0.
const TIMER: Token = Token(usize::MAX);
/// Connections that end one after the other without an answer between them.
const LOST_MAX: u32 = 100;
/// A server that answers nothing for so long, or for so long after the end, is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

pub struct Run<'a> {
    options: &'a Options,
    address: SocketAddr,
    /// Up to the length of the body.
    head: Vec<u8>,
    poll: Poll,
    /// Wakes the loop when a request is due: a poll's own timeout has whole milliseconds only.
    timer: OwnedFd,
    connections: Vec<Connection>,
    /// Connections lost since the last answer.
    lost_in_a_row: u32,
}

/// What was counted so far.
struct Tally {
    requests: u64,
    lines: u64,
    text_bytes: u64,
    sent_bytes: u64,
    latencies: Latencies,
    statuses: BTreeMap<u16, u64>,
    first_refusal: Option<String>,
    lost: u64,
    timeline: Vec<Second>,
    /// Of the second that is running: requests and lines before it, and its latencies.
    second: (u64, u64, Latencies),
}

impl<'a> Run<'a> {
    /// Resolves the address and makes sure that somebody listens there.
    pub fn connect(options: &'a Options) -> Result<Self, LoadError> {
        let authority = &options.authority;
        let resolve = || authority.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("it has no address"));
        let address = resolve().map_err(|error| LoadError::Address { authority: authority.clone(), error })?;
        let poll = Poll::new().map_err(|error| LoadError::System { what: "epoll", error })?;
        let timer = timer(&poll).map_err(|error| LoadError::System { what: "a timer", error })?;
        let encoding = if options.gzip { "Content-Encoding: gzip\r\n" } else { "" };
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {authority}\r\n{}{encoding}Content-Length: ",
            options.target,
            options.headers.iter().map(|header| format!("{header}\r\n")).collect::<String>()
        );
        let mut run =
            Self { options, address, head: head.into_bytes(), poll, timer, connections: Vec::new(), lost_in_a_row: 0 };
        std::net::TcpStream::connect(address).map_err(|error| LoadError::Unreachable { address, error })?;
        for index in 0..options.connections {
            let connection = run.open(index)?;
            run.connections.push(connection);
        }
        Ok(run)
    }

    fn open(&self, index: usize) -> Result<Connection, LoadError> {
        let open = || {
            let mut connection = Connection::open(self.address)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut connection.stream, Token(index), interest)?;
            Ok(connection)
        };
        open().map_err(|error| LoadError::Unreachable { address: self.address, error })
    }

    /// Sends until the lines or the time are over, and waits for the last answers.
    pub fn drive(
        &mut self,
        bodies: &mut Bodies,
        probe: &Probe,
        mut progress: impl FnMut(Duration, u64, u64),
    ) -> Result<Report, LoadError> {
        let mut tally = Tally::new().map_err(|error| LoadError::System { what: "memory", error })?;
        let begin = Instant::now();
        let end = self.options.duration.map(|duration| begin + duration);
        let mut schedule =
            self.options.rate.map(|lines| Schedule::new(begin, lines / self.options.batch.max(1) as f64));
        let mut events = Events::with_capacity(1024);
        let (mut now, mut answered, mut first, mut heard) = (begin, Vec::new(), 0, begin);
        probe.take();
        loop {
            let is_over = bodies.is_at_end() || end.is_some_and(|end| now >= end);
            if is_over && self.connections.iter().all(|connection| connection.in_flight() == 0) {
                break;
            }
            if now >= heard + PATIENCE || end.is_some_and(|end| now >= end + PATIENCE) {
                tally.lost += self.connections.iter().map(|connection| connection.in_flight() as u64).sum::<u64>();
                break;
            }
            if !is_over {
                self.start(bodies, &mut schedule, now, first)?;
                first = (first + 1) % self.connections.len();
            }
            self.wait(&mut events, schedule.as_ref().filter(|_| !is_over))?;
            now = Instant::now();
            for event in &events {
                if event.token() != TIMER {
                    self.serve(event.token().0, bodies, &mut answered, &mut tally)?;
                }
            }
            let in_flight = self.connections.iter().any(|connection| connection.in_flight() > 0);
            if !in_flight || !answered.is_empty() {
                heard = now;
            }
            for answer in answered.drain(..) {
                tally.take(&answer, now, bodies.get(answer.flight.body));
                self.lost_in_a_row = 0;
            }
            if tally.turn(now - begin, probe) {
                progress(now - begin, tally.lines, tally.requests);
            }
        }
        tally.end_second((now - begin).as_secs(), probe);
        let sent_until = end.map_or(now, |end| end.min(now));
        let unsent = schedule.filter(|_| !bodies.is_at_end()).map_or(0, |mut schedule| schedule.take_all(sent_until));
        Ok(tally.report(now - begin, bodies.repeated(), self.options.rate, unsent))
    }

    /// Queues requests wherever there is room, beginning with connection `first`, and begins to send them.
    fn start(
        &mut self,
        bodies: &mut Bodies,
        schedule: &mut Option<Schedule>,
        now: Instant,
        first: usize,
    ) -> Result<(), LoadError> {
        let count = self.connections.len();
        for index in (first..count).chain(0..first) {
            let mut queued = false;
            while self.connections[index].has_room(self.options.pipeline) {
                let since = match schedule {
                    None => now,
                    Some(schedule) => match schedule.take(now) {
                        Some(due) => due,
                        None => break,
                    },
                };
                let Some(body) = bodies.take_next() else { break };
                self.connections[index].queue(&self.head, Flight { body, since }, bodies);
                queued = true;
            }
            if queued && let Err(error) = self.connections[index].send(bodies) {
                self.reconnect(index, error)?;
            }
        }
        Ok(())
    }

    /// Until something comes, or the next request is due and a connection has room for it.
    fn wait(&mut self, events: &mut Events, schedule: Option<&Schedule>) -> Result<(), LoadError> {
        let has_room = || self.connections.iter().any(|connection| connection.has_room(self.options.pipeline));
        if let Some(schedule) = schedule.filter(|_| has_room()) {
            let wait = schedule.next().saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            let value = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let once = Itimerspec { it_interval: zero, it_value: value };
            rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)
                .map_err(|error| LoadError::System { what: "a timer", error: error.into() })?;
        }
        match self.poll.poll(events, Some(SECOND / 4)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result.map_err(|error| LoadError::System { what: "epoll", error }),
        }
    }

    /// A connection has news: sends on and takes its answers.
    fn serve(
        &mut self,
        index: usize,
        bodies: &Bodies,
        answered: &mut Vec<Answered>,
        tally: &mut Tally,
    ) -> Result<(), LoadError> {
        let connection = &mut self.connections[index];
        let is_open = connection.send(bodies).and_then(|_| connection.receive(answered));
        let error = match is_open {
            Ok(true) => return Ok(()),
            Ok(false) => io::ErrorKind::UnexpectedEof.into(),
            Err(error) => error,
        };
        tally.lost += connection.in_flight() as u64;
        self.reconnect(index, error)
    }

    fn reconnect(&mut self, index: usize, error: io::Error) -> Result<(), LoadError> {
        self.lost_in_a_row += 1;
        if self.lost_in_a_row >= LOST_MAX {
            return Err(LoadError::Lost { address: self.address, times: self.lost_in_a_row, error });
        }
        self.connections[index] = self.open(index)?;
        Ok(())
    }

    /// Sends `CREATE DATABASE`, if asked to.
    pub fn create(&self) -> Result<(), LoadError> {
        let Some(name) = &self.options.create else { return Ok(()) };
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        let query: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("q", &format!("CREATE DATABASE \"{name}\""))
            .finish();
        self.ask("/query", "application/x-www-form-urlencoded", &query, "CREATE DATABASE")
    }

    /// Has everything published, if asked to; says how long it took, in seconds.
    pub fn flush(&self) -> Result<Option<f64>, LoadError> {
        if !self.options.flush {
            return Ok(None);
        }
        let begin = Instant::now();
        self.ask("/api/flush", "text/plain", "", "the flush")?;
        Ok(Some(begin.elapsed().as_secs_f64()))
    }

    /// One request on a connection of its own, waited for.
    fn ask(&self, target: &str, content_type: &str, body: &str, what: &str) -> Result<(), LoadError> {
        let unreachable = |error| LoadError::Unreachable { address: self.address, error };
        let headers: String = self.options.headers.iter().map(|header| format!("{header}\r\n")).collect();
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.options.authority,
            body.len()
        );
        let answer = super::connection::ask(self.address, request.as_bytes()).map_err(unreachable)?;
        match answer.status {
            200..=299 => Ok(()),
            status => Err(LoadError::Refused { what: what.to_owned(), status, text: answer.text }),
        }
    }
}

fn timer(poll: &Poll) -> io::Result<OwnedFd> {
    let timer =
        rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    // Edge by edge: it need not be read.
    poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
    Ok(timer)
}

impl Tally {
    fn new() -> io::Result<Self> {
        let latencies = Latencies::new().map_err(io::Error::other)?;
        Ok(Self {
            requests: 0,
            lines: 0,
            text_bytes: 0,
            sent_bytes: 0,
            second: (0, 0, latencies.clone()),
            latencies,
            statuses: BTreeMap::new(),
            first_refusal: None,
            lost: 0,
            timeline: Vec::new(),
        })
    }

    fn take(&mut self, answer: &Answered, now: Instant, body: &Body) {
        let latency = now.saturating_duration_since(answer.flight.since);
        self.latencies.add(latency);
        self.second.2.add(latency);
        self.requests += 1;
        *self.statuses.entry(answer.status).or_default() += 1;
        if (200..300).contains(&answer.status) {
            self.lines += body.lines as u64;
            self.text_bytes += body.text_bytes as u64;
            self.sent_bytes += body.bytes.len() as u64;
        } else if self.first_refusal.is_none() {
            self.first_refusal = Some(format!("{}: {}", answer.status, answer.text));
        }
    }

    /// Ends the second that is over. Whether it is time to show something.
    fn turn(&mut self, elapsed: Duration, probe: &Probe) -> bool {
        let is_over = elapsed.as_secs() > self.timeline.last().map_or(0, |last| last.second + 1);
        if is_over {
            self.end_second(elapsed.as_secs() - 1, probe);
        }
        is_over
    }

    fn end_second(&mut self, second: u64, probe: &Probe) {
        let (requests, lines, latencies) = &mut self.second;
        self.timeline.push(Second {
            second,
            requests: self.requests - *requests,
            lines: self.lines - *lines,
            latency_ms: latencies.quantiles(),
            idle_thread_late_max_ms: probe.take().as_secs_f64() * 1e3,
        });
        latencies.clear();
        (*requests, *lines) = (self.requests, self.lines);
    }

    fn report(self, elapsed: Duration, repeated: bool, rate: Option<f64>, unsent: u64) -> Report {
        let seconds = elapsed.as_secs_f64().max(f64::EPSILON);
        Report {
            seconds,
            requests: self.requests,
            lines: self.lines,
            text_bytes: self.text_bytes,
            sent_bytes: self.sent_bytes,
            lines_per_second: self.lines as f64 / seconds,
            megabytes_per_second: self.text_bytes as f64 / seconds / 1e6,
            latency_ms: self.latencies.quantiles(),
            statuses: self.statuses,
            first_refusal: self.first_refusal,
            lost: self.lost,
            asked_lines_per_second: rate,
            unsent,
            repeated,
            flush_seconds: None,
            server: None,
            own_cpu_seconds: 0.0,
            timeline: self.timeline,
        }
    }
}
