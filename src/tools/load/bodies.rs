//! What is sent, made beforehand so that the generator's own work stays out of the measurement.

use std::io;

use libdeflater::{CompressionLvl, Compressor};

use crate::line::{complete_len, point_lines};
use crate::tools::workload::Workload;

/// Digits of a timestamp in nanoseconds, from 2001 to 2286.
const TIME_DIGITS: usize = 19;
/// zlib's own default level, which most clients use.
const GZIP_LEVEL: i32 = 6;

/// One body.
#[derive(Debug)]
pub struct Body {
    /// As it is sent.
    pub bytes: Vec<u8>,
    pub lines: usize,
    /// Of the line protocol.
    pub text_bytes: usize,
    /// Where the timestamps stand, if they can be moved on: bytes from the body's begin, and nanoseconds as prepared.
    times: Vec<(u32, i64)>,
    /// How often it was sent.
    sent: u32,
}

/// The bodies of a run. Each time that they begin anew, their timestamps are moved on, so that no point comes twice; compressed ones and
/// those of a file are sent again as they are.
#[derive(Debug)]
pub struct Bodies {
    all: Vec<Body>,
    /// How far timestamps move on from one round to the next, in nanoseconds; 0: not at all.
    span: i64,
    next: usize,
    /// Bodies that are left to send; `None`: no end.
    left: Option<usize>,
}

/// How bodies are cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Lines per body, at least one.
    pub batch: usize,
    /// All lines that will be sent; `None`: no end.
    pub lines: Option<usize>,
    /// Most bytes to prepare.
    pub bytes_max: usize,
    pub gzip: bool,
}

impl Bodies {
    /// Prepares lines of a workload whose hosts report every `interval_ns`. At least `least` bodies are made, whatever they take.
    pub fn generate(workload: &mut Workload, cut: Cut, interval_ns: i64, least: usize) -> io::Result<Self> {
        let mut packer = Packer::new(cut.gzip)?;
        let mut all: Vec<Body> = Vec::new();
        let (mut bytes, mut first, mut last) = (0, i64::MAX, i64::MIN);
        let mut left = cut.lines.unwrap_or(usize::MAX);
        while left > 0 && (bytes < cut.bytes_max || all.len() < least) {
            let lines = left.min(cut.batch);
            let (mut text, mut times) = (Vec::new(), Vec::with_capacity(lines));
            for _ in 0..lines {
                workload.write_lines(1, &mut text);
                if let Some(time) = last_time(&text) {
                    (first, last) = (first.min(time.1), last.max(time.1));
                    times.push(time);
                }
            }
            let body = packer.body(text, lines, times)?;
            bytes += body.bytes.len();
            left -= lines;
            all.push(body);
        }
        let span = if cut.gzip { 0 } else { last.saturating_sub(first).saturating_add(interval_ns).max(0) };
        Ok(Self::new(all, span, cut))
    }

    /// Cuts line protocol into bodies.
    pub fn of_text(text: &[u8], cut: Cut) -> io::Result<Self> {
        let mut packer = Packer::new(cut.gzip)?;
        let whole = complete_len(text).max(if text.ends_with(b"\n") { 0 } else { text.len() });
        let mut lines = point_lines(&text[..whole]).take(cut.lines.unwrap_or(usize::MAX));
        let mut all = Vec::new();
        loop {
            let mut body = Vec::new();
            let count = lines.by_ref().take(cut.batch).map(|line| body.extend_from_slice(&text[line])).count();
            if count == 0 {
                break;
            }
            all.push(packer.body(body, count, Vec::new())?);
        }
        Ok(Self::new(all, 0, cut))
    }

    fn new(all: Vec<Body>, span: i64, cut: Cut) -> Self {
        Self { all, span, next: 0, left: cut.lines.map(|lines| lines.div_ceil(cut.batch)) }
    }

    /// How many are different.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether bodies were sent again that have the points of earlier ones.
    pub fn repeated(&self) -> bool {
        self.span == 0 && self.all.iter().any(|body| body.sent > 1)
    }

    pub fn get(&self, body: usize) -> &Body {
        &self.all[body]
    }

    /// Whether all were sent.
    pub fn is_at_end(&self) -> bool {
        self.left == Some(0) || self.all.is_empty()
    }

    /// The next body to send; `None` when there are no more. It must not be on its way any more.
    pub fn take_next(&mut self) -> Option<usize> {
        if self.is_at_end() {
            return None;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        let index = self.next;
        self.next = (index + 1) % self.all.len();
        let body = &mut self.all[index];
        if body.sent > 0 && self.span > 0 {
            body.move_times(i64::from(body.sent).saturating_mul(self.span));
        }
        body.sent = body.sent.saturating_add(1);
        Some(index)
    }
}

impl Body {
    /// Writes each timestamp as it was prepared, later by `by` nanoseconds. Neighbours mostly share theirs.
    fn move_times(&mut self, by: i64) {
        let (mut spelt, mut digits) = (None, [b'0'; TIME_DIGITS]);
        for (at, time) in &self.times {
            if spelt != Some(*time) {
                spell(time.saturating_add(by), &mut digits);
                spelt = Some(*time);
            }
            let at = *at as usize;
            self.bytes[at..at + TIME_DIGITS].copy_from_slice(&digits);
        }
    }
}

fn spell(time: i64, digits: &mut [u8; TIME_DIGITS]) {
    let mut rest = time.unsigned_abs();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// The timestamp at the end of the text's last line, with its place, if it has as many digits as a later one will have.
fn last_time(text: &[u8]) -> Option<(u32, i64)> {
    let digits = text.strip_suffix(b"\n")?.rsplit(|byte| *byte == b' ').next()?;
    let at = u32::try_from(text.len() - 1 - digits.len()).ok()?;
    let time = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (digits.len() == TIME_DIGITS && time > 0).then_some((at, time))
}

/// Makes bodies of texts.
struct Packer(Option<Compressor>);

impl Packer {
    fn new(gzip: bool) -> io::Result<Self> {
        let level = CompressionLvl::new(GZIP_LEVEL).map_err(|_| io::Error::other("gzip has no such level"))?;
        Ok(Self(gzip.then(|| Compressor::new(level))))
    }

    fn body(&mut self, text: Vec<u8>, lines: usize, times: Vec<(u32, i64)>) -> io::Result<Body> {
        let text_bytes = text.len();
        let Some(compressor) = &mut self.0 else {
            return Ok(Body { bytes: text, lines, text_bytes, times, sent: 0 });
        };
        let mut bytes = vec![0; compressor.gzip_compress_bound(text_bytes)];
        let len = compressor.gzip_compress(&text, &mut bytes).map_err(io::Error::other)?;
        bytes.truncate(len);
        bytes.shrink_to_fit();
        Ok(Body { bytes, lines, text_bytes, times: Vec::new(), sent: 0 })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tools::workload::Kind;

    const START: i64 = 1_767_225_600_000_000_000;
    const INTERVAL: i64 = 10_000_000_000;

    fn cut(batch: usize, lines: Option<usize>) -> Cut {
        Cut { batch, lines, bytes_max: 4_000, gzip: false }
    }

    /// The key and time of every line that is sent, body by body.
    fn sent(bodies: &mut Bodies, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..count {
            let Some(body) = bodies.take_next() else { break };
            let text = String::from_utf8(bodies.get(body).bytes.clone()).unwrap();
            assert_eq!(text.lines().count(), bodies.get(body).lines);
            lines.extend(text.lines().map(|line| {
                let bytes = line.as_bytes();
                let end = (1..bytes.len()).find(|at| bytes[*at] == b' ' && bytes[at - 1] != b'\\').unwrap();
                format!("{} {}", &line[..end], line.rsplit(' ').next().unwrap())
            }));
        }
        lines
    }

    #[test]
    fn no_point_comes_twice_however_often_bodies_are_sent() {
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Iot && *kind != Kind::Series) {
            let mut workload = Workload::new(kind, 3, 1, START, INTERVAL);
            let mut bodies = Bodies::generate(&mut workload, cut(4, None), INTERVAL, 2).unwrap();
            let count = 5 * bodies.len();
            let lines = sent(&mut bodies, count);
            let distinct: BTreeSet<&String> = lines.iter().collect();
            assert_eq!((lines.len(), distinct.len()), (4 * count, lines.len()), "{kind:?}");
            assert!(!bodies.repeated());
        }
    }

    #[test]
    fn a_number_of_lines_is_sent_exactly() {
        for lines in [1, 4, 5, 4_000] {
            let mut workload = Workload::new(Kind::Cpu, 3, 1, START, INTERVAL);
            let mut bodies = Bodies::generate(&mut workload, cut(4, Some(lines)), INTERVAL, 2).unwrap();
            let total = if bodies.len() * 4 < lines { lines.next_multiple_of(4) } else { lines };
            assert_eq!(sent(&mut bodies, usize::MAX).len(), total);
            assert!(bodies.is_at_end());
        }
    }

    #[test]
    fn a_file_is_cut_at_the_ends_of_its_lines() {
        let text = b"a f=1 1\n# comment\n\nb s=\"x\ny\" 2\nc f=1 3";
        let mut bodies = Bodies::of_text(text, cut(2, None)).unwrap();
        let texts: Vec<&[u8]> = (0..bodies.len()).map(|body| &*bodies.get(body).bytes).collect();
        assert_eq!(texts, [&b"a f=1 1\nb s=\"x\ny\" 2\n"[..], b"c f=1 3"]);
        for _ in 0..3 {
            bodies.take_next().unwrap();
        }
        assert!(bodies.repeated());
    }

    #[test]
    fn compressed_bodies_hold_their_lines() {
        let mut workload = Workload::new(Kind::Cpu, 3, 1, START, INTERVAL);
        let bodies = Bodies::generate(&mut workload, Cut { gzip: true, ..cut(50, Some(50)) }, INTERVAL, 1).unwrap();
        let body = bodies.get(0);
        let mut text = vec![0; body.text_bytes];
        libdeflater::Decompressor::new().gzip_decompress(&body.bytes, &mut text).unwrap();
        let mut expected = Vec::new();
        Workload::new(Kind::Cpu, 3, 1, START, INTERVAL).write_lines(50, &mut expected);
        assert_eq!(text, expected);
    }
}
