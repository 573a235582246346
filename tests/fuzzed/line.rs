//! Any bytes as a body: the fast parser, on every kernel, makes of them what the reference parser does.

use ringest::line::grammar::ERRORS_MAX;
use ringest::line::naive::{self, Point, Value};
use ringest::line::{self, Kernel, Key, Options, Outcome, Padded, Precision, Sink, Vector, equal_prefix, unescape};
use ringest::line::{MEASUREMENT_ESCAPES, PADDING, STRING_ESCAPES, TAG_ESCAPES};

/// Time of points without a timestamp; no body of the tests has it as its own.
const NOW_NS: i64 = 1_234_567_890_123_456_789;

/// # Panics
/// The parsers disagree.
pub fn line(body: &[u8]) {
    for precision in [Precision::Nanosecond, Precision::Second] {
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
}

pub fn parse<S: Sink>(body: &[u8], precision: Precision, kernel: Kernel, sink: &mut S) -> Outcome {
    let mut padded = body.to_vec();
    let utf8 = ringest::decode::is_utf8(body);
    let options = Options { kernel, precision, default_time_ns: NOW_NS, utf8 };
    line::parse(Padded::from_vec(&mut padded), options, sink)
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
    next_series: usize,
    next_field: usize,
    point: Option<Point>,
    name: String,
}

/// Bytes to compare in place, and their padding.
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

    fn stands_at<V: Vector>(&self, body: &Padded<'_>, at: usize) -> bool {
        equal_prefix::<V>(body, at, &self.bytes, self.len)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the parser takes only UTF-8")
}

impl Collect {
    fn value(&mut self, value: Value) {
        let name = self.name.clone();
        self.point.as_mut().expect("a series comes before its fields").fields.push((name, value));
    }

    fn select(&mut self, index: usize) {
        self.next_series = index + 1;
        self.next_field = 0;
        self.point = Some(self.series[index].1.clone());
    }
}

impl Sink for Collect {
    fn expected_series<V: Vector>(&mut self, body: &Padded<'_>, at: usize) -> Option<usize> {
        let index = self.next_series % self.series.len().max(1);
        let (pattern, _) = self.series.get(index)?;
        let len = pattern.len - 1;
        pattern.stands_at::<V>(body, at).then(|| {
            self.select(index);
            len
        })
    }

    fn known_series(&mut self, key: &[u8]) -> bool {
        let index = self.series.iter().position(|(pattern, _)| pattern.bytes[..pattern.len - 1] == *key);
        index.map(|index| self.select(index)).is_some()
    }

    fn new_series(&mut self, raw: &[u8], key: &Key<'_>) {
        let mut tags: Vec<(String, String)> = key
            .tags
            .iter()
            .map(|tag| (text(&unescape(tag.key, TAG_ESCAPES)), text(&unescape(tag.value, TAG_ESCAPES))))
            .collect();
        tags.sort_unstable();
        let measurement = text(&unescape(key.measurement, MEASUREMENT_ESCAPES));
        let point = Point { line: 0, measurement, tags, fields: Vec::new(), time: None };
        self.series.push((Pattern::new(raw, b' '), point));
        self.select(self.series.len() - 1);
    }

    fn expected_field<V: Vector>(&mut self, body: &Padded<'_>, at: usize) -> Option<usize> {
        let (pattern, name) = self.fields.get(self.next_field)?;
        if !pattern.stands_at::<V>(body, at) {
            return None;
        }
        self.name.clone_from(name);
        self.next_field += 1;
        Some(pattern.len - 1)
    }

    fn field(&mut self, raw: &[u8], name: &[u8]) {
        self.name = text(name);
        self.fields.truncate(self.next_field);
        self.fields.push((Pattern::new(raw, b'='), self.name.clone()));
        self.next_field += 1;
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

    fn point(&mut self, time_ns: i64) -> bool {
        let mut point = self.point.take().expect("a series comes before its point");
        point.time = Some(time_ns);
        self.points.push(point);
        true
    }
}
