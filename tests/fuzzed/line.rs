//! Any bytes as a body: the fast parser, on every kernel, makes of them what the reference parser does.

use std::collections::HashMap;

use ringest::line::grammar::ERRORS_MAX;
use ringest::line::naive::{self, Point, Value};
use ringest::line::{
    self, End, ExpectedField, FieldName, Kernel, Key, LineError, NO_NAME, NO_SHAPE, Options, Outcome, Padded,
    Precision, Rest, Row, Sink, Vector, Word, begins_with, unescape,
};
use ringest::line::{FIELD_KEY_ESCAPES, MEASUREMENT_ESCAPES, PADDING, STRING_ESCAPES, TAG_ESCAPES};

/// Time of points without a timestamp; no body of the tests has it as its own.
const NOW_NS: i64 = 1_234_567_890_123_456_789;

/// # Panics
/// The parsers disagree.
pub fn line(body: &[u8]) {
    agree(body, Precision::Nanosecond);
    agree(body, Precision::Second);
    dealt(body);
}

/// On every kernel the body is what the reference parser says it is.
///
/// # Panics
/// It is not.
pub fn agree(body: &[u8], precision: Precision) {
    let want = naive::parse(body, precision);
    for kernel in Kernel::available() {
        let mut sink = Collect::default();
        // Twice with one sink: the second time all its predictions come true or must be found wrong.
        for round in ["cold", "warm"] {
            sink.points.clear();
            let outcome = parse(body, precision, kernel, &mut sink);
            compare(body, &want, outcome, &sink.points, &format!("{} {round} {precision:?}", kernel.name()));
        }
    }
}

/// The lines of a body, dealt to several bodies for one sink, are the same points and errors.
fn dealt(body: &[u8]) {
    let whole = naive::parse(body, Precision::Nanosecond);
    let bodies = deal(body, &whole);
    if bodies.len() < 2 {
        return;
    }
    let mut sinks: Vec<(Kernel, Collect)> =
        Kernel::available().into_iter().map(|kernel| (kernel, Collect::default())).collect();
    let (mut points, mut errors) = (Vec::new(), Vec::new());
    let (mut lines, mut bytes) = (0, 0);
    for piece in bodies {
        let want = naive::parse(piece, Precision::Nanosecond);
        for (kernel, sink) in &mut sinks {
            sink.points.clear();
            let outcome = parse(piece, Precision::Nanosecond, *kernel, sink);
            compare(piece, &want, outcome, &sink.points, &format!("{} dealt", kernel.name()));
        }
        points.extend(want.points.into_iter().map(|point| Point { line: point.line + lines, ..point }));
        errors.extend(want.errors.into_iter().map(|error| LineError {
            line: error.line + lines,
            start: error.start + bytes,
            end: error.end + bytes,
            kind: error.kind,
        }));
        lines += line_feeds(piece);
        bytes += piece.len();
    }
    assert!(
        points.len() == whole.points.len() && points.iter().zip(&whole.points).all(|(a, b)| same(a, b)),
        "{body:?}"
    );
    assert_eq!(errors, whole.errors, "{body:?}");
}

/// A body cut where points begin: before every second, third, fourth or fifth of its lines, as its bytes choose.
fn deal<'a>(body: &'a [u8], whole: &naive::Parsed) -> Vec<&'a [u8]> {
    let points = whole.points.iter().map(|point| point.line);
    let mut lines: Vec<u64> = points.chain(whole.errors.iter().map(|error| error.line)).collect();
    lines.sort_unstable();
    let step = 2 + body.iter().fold(0, |sum: usize, byte| sum.wrapping_add(usize::from(*byte))) % 4;
    let cuts: Vec<u64> = lines.into_iter().skip(step - 1).step_by(step).collect();
    let (mut pieces, mut rest, mut line) = (Vec::new(), body, 1);
    for cut in cuts {
        let feed = line_start(rest, cut - line);
        let (piece, behind) = rest.split_at(feed);
        pieces.push(piece);
        (rest, line) = (behind, cut);
    }
    pieces.push(rest);
    pieces
}

/// Where line `count` of `body` begins, the first being 0.
fn line_start(body: &[u8], count: u64) -> usize {
    let feeds = body.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(feeds).nth(count as usize).expect("the line is there")
}

fn line_feeds(body: &[u8]) -> u64 {
    body.iter().filter(|byte| **byte == b'\n').count() as u64
}

pub fn parse<S: Sink>(body: &[u8], precision: Precision, kernel: Kernel, sink: &mut S) -> Outcome {
    let mut padded = body.to_vec();
    let options = Options { kernel, precision, default_time_ns: NOW_NS };
    line::parse(Padded::from_vec(&mut padded), options, sink)
}

/// How a body ends on a fresh sink, and the points that the sink has then.
#[allow(dead_code, reason = "no fuzz target asks")]
pub fn points(body: &[u8], precision: Precision, kernel: Kernel) -> (Outcome, Vec<Point>) {
    let mut sink = Collect::default();
    let outcome = parse(body, precision, kernel, &mut sink);
    (outcome, sink.points)
}

fn compare(body: &[u8], want: &naive::Parsed, got: Outcome, points: &[Point], how: &str) {
    let text = || format!("{how}: {:?}", String::from_utf8_lossy(body));
    match got {
        Outcome::Complete { points: count } => {
            assert_eq!(want.errors, [], "{}", text());
            assert_eq!(count as usize, want.points.len(), "{}", text());
            assert_eq!(points.len(), want.points.len(), "{}", text());
            for (got, want) in points.iter().zip(&want.points) {
                // The fast parser counts lines only for errors.
                let line = want.line;
                let want = Point { time: Some(want.time.unwrap_or(NOW_NS)), ..want.clone() };
                assert!(same(&Point { line, ..got.clone() }, &want), "{got:?} for {want:?}, {}", text());
            }
        }
        Outcome::Bad { errors, more } => {
            assert_eq!(more, want.errors.len() > ERRORS_MAX, "{}", text());
            assert_eq!(errors, want.errors[..want.errors.len().min(ERRORS_MAX)], "{}", text());
            assert!(!errors.is_empty(), "{}", text());
        }
        Outcome::Stopped => panic!("no one stopped the parser, {}", text()),
    }
}

/// Equal to the bit: floats too.
fn same(a: &Point, b: &Point) -> bool {
    let bits = |point: &Point| -> Vec<Option<u64>> {
        let bits = |value: &Value| if let Value::Float(float) = value { Some(float.to_bits()) } else { None };
        point.fields.iter().map(|(_, value)| bits(value)).collect()
    };
    a == b && bits(a) == bits(b)
}

/// Builds points as the reference parser does, with predictions like those of the real tables.
#[derive(Default)]
struct Collect {
    points: Vec<Point>,
    series: Vec<(Pattern, Point)>,
    fields: Vec<(Pattern, String)>,
    /// The last row's first fields, up to a string or a long name, and room for the next one's values.
    expected: Vec<ExpectedField>,
    expected_names: Vec<(Pattern, String)>,
    words: Vec<u64>,
    next_series: usize,
    next_field: usize,
    /// The numbered names of the body: measurement's number, of a tag, too, and what is named.
    names: HashMap<(Option<u32>, u32), Vec<u8>>,
    /// Measurement and tag keys of each shape.
    shapes: HashMap<u32, (Vec<u8>, Vec<Vec<u8>>)>,
}

/// Bytes to compare in place, and their padding.
#[derive(Clone)]
struct Pattern {
    bytes: Vec<u8>,
    len: usize,
}

impl Pattern {
    fn new(raw: &[u8], end: u8) -> Self {
        let mut bytes = raw.to_vec();
        bytes.push(end);
        let len = bytes.len();
        bytes.resize(len + PADDING, 0);
        Self { bytes, len }
    }

    fn stands_at<V: Vector>(&self, rest: Rest<'_>) -> bool {
        begins_with::<V>(rest, &self.bytes, self.len)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the parser takes only UTF-8")
}

impl Collect {
    /// A number stands for one name.
    fn name(&mut self, measurement: Option<u32>, number: u32, name: &[u8]) {
        if number != NO_NAME {
            assert_eq!(self.names.entry((measurement, number)).or_insert_with(|| name.to_vec()), name);
        }
    }

    fn select(&mut self, index: usize) -> usize {
        self.next_series = index + 1;
        self.next_field = 0;
        index
    }
}

impl Sink for Collect {
    type Series = usize;
    type Row<'r> = CollectedRow<'r>;

    fn expected_series<V: Vector>(&mut self, rest: Rest<'_>) -> Option<(usize, usize)> {
        let index = self.next_series % self.series.len().max(1);
        let (pattern, _) = self.series.get(index)?;
        let len = pattern.len - 1;
        pattern.stands_at::<V>(rest).then(|| (self.select(index), len))
    }

    fn known_series(&mut self, key: &[u8]) -> Option<usize> {
        let index = self.series.iter().position(|(pattern, _)| pattern.bytes[..pattern.len - 1] == *key)?;
        Some(self.select(index))
    }

    fn new_series(&mut self, raw: &[u8], key: &Key<'_, '_>) -> usize {
        assert_eq!(key.plain, !raw.contains(&b'\\'));
        let shape = (key.measurement.to_vec(), key.tags.iter().map(|tag| tag.key.to_vec()).collect());
        if key.shape != NO_SHAPE {
            assert_eq!(*self.shapes.entry(key.shape).or_insert_with(|| shape.clone()), shape);
        }
        self.name(None, key.number, key.measurement);
        for tag in key.tags {
            self.name(Some(key.number), tag.number, tag.key);
            let ends = [tag.value, &tag.value[tag.value.len().saturating_sub(8)..]]
                .map(|end| end.iter().take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
            assert_eq!(tag.ends, ends);
        }
        let mut tags: Vec<(String, String)> = key
            .tags
            .iter()
            .map(|tag| (text(&unescape(tag.key, TAG_ESCAPES)), text(&unescape(tag.value, TAG_ESCAPES))))
            .collect();
        tags.sort_unstable();
        let measurement = text(&unescape(key.measurement, MEASUREMENT_ESCAPES));
        let point = Point { line: 0, measurement, tags, fields: Vec::new(), time: None };
        self.series.push((Pattern::new(raw, b' '), point));
        self.select(self.series.len() - 1)
    }

    fn begin(&mut self) {
        self.names.clear();
        self.shapes.clear();
    }

    fn row(&mut self, series: usize) -> CollectedRow<'_> {
        let point = self.series[series].1.clone();
        CollectedRow { collect: self, point, name: String::new() }
    }

    fn take_back(&mut self) {
        panic!("no point was refused");
    }
}

/// A point in progress.
struct CollectedRow<'r> {
    collect: &'r mut Collect,
    point: Point,
    name: String,
}

impl CollectedRow<'_> {
    fn value(&mut self, value: Value) {
        self.point.fields.push((self.name.clone(), value));
    }
}

/// The type of a value that fits into 64 bits.
fn word_of(value: &Value) -> Option<Word> {
    match value {
        Value::Float(_) => Some(Word::Float),
        Value::Integer(_) => Some(Word::Integer),
        Value::Unsigned(_) => Some(Word::Unsigned),
        Value::Boolean(_) => Some(Word::Boolean),
        Value::String(_) => None,
    }
}

impl Row for CollectedRow<'_> {
    fn expected_fields(&mut self) -> Option<(&mut [ExpectedField], &mut [u64])> {
        let Collect { expected, words, .. } = &mut *self.collect;
        (!expected.is_empty()).then_some((expected, words))
    }

    fn expected_came(&mut self, count: usize, more: bool) {
        assert!(more || count > 0, "a point has a field");
        for index in 0..count {
            let (word, bits) = (self.collect.expected[index].word(), self.collect.words[index]);
            self.name.clone_from(&self.collect.expected_names[index].1);
            self.value(match word {
                Word::Float => Value::Float(f64::from_bits(bits)),
                Word::Integer => Value::Integer(bits as i64),
                Word::Unsigned => Value::Unsigned(bits),
                Word::Boolean => Value::Boolean([false, true][bits as usize]),
            });
        }
        self.collect.next_field = count;
        self.collect
            .fields
            .splice(..count.min(self.collect.fields.len()), self.collect.expected_names[..count].to_vec());
    }

    fn expected_field<V: Vector>(&mut self, rest: Rest<'_>) -> Option<usize> {
        let (pattern, name) = self.collect.fields.get(self.collect.next_field)?;
        if !pattern.stands_at::<V>(rest) {
            return None;
        }
        self.name.clone_from(name);
        self.collect.next_field += 1;
        Some(pattern.len - 1)
    }

    fn field<V: Vector>(&mut self, rest: Rest<'_>, name: FieldName<'_>) {
        let raw = name.raw;
        assert_eq!(raw, &rest.as_bytes()[..raw.len()]);
        assert_eq!(name.plain, !raw.contains(&b'\\'));
        self.name = text(&unescape(raw, FIELD_KEY_ESCAPES));
        self.collect.fields.truncate(self.collect.next_field);
        self.collect.fields.push((Pattern::new(raw, b'='), self.name.clone()));
        self.collect.next_field += 1;
    }

    fn float(&mut self, value: f64) {
        self.value(Value::Float(value));
    }
    fn integer(&mut self, value: i64) {
        self.value(Value::Integer(value));
    }
    fn unsigned(&mut self, value: u64) {
        self.value(Value::Unsigned(value));
    }
    fn boolean(&mut self, value: bool) {
        self.value(Value::Boolean(value));
    }
    fn string(&mut self, raw: &[u8], escaped: bool) {
        assert_eq!(escaped, raw.contains(&b'\\'));
        self.value(Value::String(text(&unescape(raw, STRING_ESCAPES))));
    }

    fn point(&mut self, time_ns: i64) -> End {
        self.point.time = Some(time_ns);
        let came = self.collect.fields.iter().zip(&self.point.fields);
        self.collect.expected = came
            .map_while(|((pattern, _), (_, value))| {
                ExpectedField::new(&pattern.bytes[..pattern.len - 1], word_of(value)?)
            })
            .collect();
        self.collect.expected_names = self.collect.fields[..self.collect.expected.len()].to_vec();
        self.collect.words = vec![0; self.collect.expected.len()];
        self.collect.points.push(self.point.clone());
        End::Written
    }
}
