//! The reference parser: line protocol as `grammar` words it, byte by byte, in the order in which it is worded.
//!
//! It is the oracle of the tests and of the fuzz targets, so it is written to be seen to be right and shares nothing with the fast
//! parser but [`super::grammar`]. A body is first split into lines, then every line is judged alone. It is linear in the body (tags of
//! one point are sorted), but every point owns its strings.
//!
//! What it leaves to others: the field named `time`, the type of a field, the length of a string, retention, and the time of a point
//! that has none.

use super::grammar::{ErrorKind, KEY_BYTES_MAX, LineError, Precision, RESERVED_TAG_KEYS};

/// What a body holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The points of all good lines, in the order of the body (also when other lines are bad).
    pub points: Vec<Point>,
    /// One error per bad line, in the order of the body; all of them.
    pub errors: Vec<LineError>,
}

/// One point, names and strings unescaped.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// 1-based physical line on which the point starts.
    pub line: u64,
    pub measurement: String,
    /// Sorted bytewise by key; no key stands twice.
    pub tags: Vec<(String, String)>,
    /// As written: a key may stand twice.
    pub fields: Vec<(String, Value)>,
    /// Nanoseconds since 1970.
    pub time: Option<i64>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    String(String),
}

/// Parses a whole body, whose timestamps are in units of `precision`.
pub fn parse(body: &[u8], precision: Precision) -> Parsed {
    let mut parsed = Parsed::default();
    for line in split(body) {
        match judge(&body[line.start..line.end], line.number, precision) {
            Ok(point) => parsed.points.push(point),
            Err(kind) => {
                parsed.errors.push(LineError { line: line.number, start: line.start, end: line.end, kind });
            }
        }
    }
    parsed
}

/// A line that should be a point: neither blank nor a comment.
pub(super) struct Line {
    /// 1-based physical line on which it starts.
    pub(super) number: u64,
    /// Its bytes in the body, without leading spaces and tabs, without LF and the CR before it.
    pub(super) start: usize,
    pub(super) end: usize,
}

pub(super) fn split(body: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut number = 1;
    let mut at = 0;
    while at < body.len() {
        let start = skip_spaces_and_tabs(body, at);
        let is_comment = body.get(start) == Some(&b'#');
        let (end, next) = if is_comment { comment_end(body, start) } else { line_end(body, start) };
        if !is_comment && start < end {
            lines.push(Line { number, start, end });
        }
        number += body[at..next].iter().filter(|&&byte| byte == b'\n').count() as u64;
        at = next;
    }
    lines
}

/// Where the comment that begins at `start` ends, and where the next line begins.
fn comment_end(body: &[u8], start: usize) -> (usize, usize) {
    match body[start..].iter().position(|&byte| byte == b'\n') {
        Some(length) => (start + length, start + length + 1),
        None => (body.len(), body.len()),
    }
}

/// Where the line that begins at `start` ends (before its CR), and where the next one begins.
fn line_end(body: &[u8], start: usize) -> (usize, usize) {
    let mut in_fields = false; // the line's first unescaped space has been seen
    let mut in_string = false;
    let mut equals: usize = 0; // unescaped ones outside of strings since that space
    let mut commas: usize = 0;
    let mut at = start;
    while at < body.len() {
        let byte = body[at];
        if in_string {
            match byte {
                b'\\' => at += 1, // it takes the next byte with it
                b'"' => in_string = false,
                _ => {}
            }
        } else if !is_escaped(body, start, at) {
            match byte {
                b'\n' => return (without_cr(body, start, at), at + 1),
                b' ' => in_fields = true,
                b'=' if in_fields => equals += 1,
                b',' if in_fields => commas += 1,
                b'"' if in_fields && equals > commas => in_string = true,
                _ => {}
            }
        }
        at += 1;
    }
    // A CR inside of an unterminated string is data.
    let end = if in_string { body.len() } else { without_cr(body, start, body.len()) };
    (end, body.len())
}

fn without_cr(body: &[u8], start: usize, end: usize) -> usize {
    if end > start && body[end - 1] == b'\r' { end - 1 } else { end }
}

fn skip_spaces_and_tabs(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// Outside of strings: is the byte right before `at` a backslash? (`start`: where the line begins.)
fn is_escaped(text: &[u8], start: usize, at: usize) -> bool {
    at > start && text[at - 1] == b'\\'
}

/// The order of judgement, step by step.
fn judge(line: &[u8], number: u64, precision: Precision) -> Result<Point, ErrorKind> {
    let line = std::str::from_utf8(line).map_err(|_| ErrorKind::InvalidUtf8)?;
    let key_end = find_unescaped(line, 0, b" ");
    let key = &line[..key_end];
    let (measurement, tags) = parse_key(key)?;
    let tags = check_tags(tags)?;
    if key.len() > KEY_BYTES_MAX {
        return Err(ErrorKind::KeyTooLong(key.len()));
    }
    let fields_start = skip_spaces_and_tabs(line.as_bytes(), key_end);
    if fields_start == line.len() {
        return Err(ErrorKind::MissingFields);
    }
    let (fields, fields_end) = parse_fields(line, fields_start, key.len())?;
    let time = parse_time(line, fields_end, precision)?;
    Ok(Point { line: number, measurement, tags, fields, time })
}

/// The first unescaped byte at or behind `from` that is one of `wanted`, or the end of `text`.
///
/// `text` must begin where its first byte cannot be escaped.
fn find_unescaped(text: &str, from: usize, wanted: &[u8]) -> usize {
    let bytes = text.as_bytes();
    (from..bytes.len()).find(|&at| wanted.contains(&bytes[at]) && !is_escaped(bytes, 0, at)).unwrap_or(bytes.len())
}

/// Keys and values as written.
type WrittenTags<'a> = Vec<(&'a str, &'a str)>;

/// Measurement (unescaped) and tags of `measurement[,tagkey=tagval]*`.
fn parse_key(key: &str) -> Result<(String, WrittenTags<'_>), ErrorKind> {
    let measurement_end = find_unescaped(key, 0, b",");
    if measurement_end == 0 {
        return Err(ErrorKind::MissingMeasurement);
    }
    let mut tags = Vec::new();
    let mut at = measurement_end;
    while at < key.len() {
        let tag_start = at + 1; // behind the comma; one that ends the key announces an empty tag
        let tag_end = find_unescaped(key, tag_start, b",");
        tags.push(parse_tag(&key[tag_start..tag_end])?);
        at = tag_end;
    }
    Ok((unescape(&key[..measurement_end], b", "), tags))
}

/// Key and value, as written, of one tag.
fn parse_tag(tag: &str) -> Result<(&str, &str), ErrorKind> {
    if tag.is_empty() || tag.starts_with('=') {
        return Err(ErrorKind::MissingTagKey);
    }
    let equals = find_unescaped(tag, 0, b"=");
    if equals == tag.len() || equals + 1 == tag.len() {
        return Err(ErrorKind::MissingTagValue);
    }
    if find_unescaped(tag, equals + 1, b"=") < tag.len() {
        return Err(ErrorKind::InvalidTagFormat);
    }
    Ok((&tag[..equals], &tag[equals + 1..]))
}

/// The tags unescaped and sorted by key, if no key stands twice or is reserved.
fn check_tags(written: WrittenTags<'_>) -> Result<Vec<(String, String)>, ErrorKind> {
    let mut tags: Vec<(String, String)> =
        written.iter().map(|(key, value)| (unescape(key, b", ="), unescape(value, b", ="))).collect();
    tags.sort();
    if tags.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(ErrorKind::DuplicateTag);
    }
    for (key, _) in written {
        if let Some(reserved) = RESERVED_TAG_KEYS.into_iter().find(|&reserved| reserved == key) {
            return Err(ErrorKind::ReservedTagKey(reserved));
        }
    }
    Ok(tags)
}

type Fields = Vec<(String, Value)>;

/// The fields that begin at `start`, and where they end: at the end of the line or at a space.
fn parse_fields(line: &str, start: usize, key_bytes: usize) -> Result<(Fields, usize), ErrorKind> {
    let mut fields = Vec::new();
    let mut at = start;
    loop {
        let equals = field_key_end(line, at)?;
        let field_key = &line[at..equals];
        let bytes = key_bytes + 4 + field_key.len();
        if bytes > KEY_BYTES_MAX {
            return Err(ErrorKind::KeyTooLong(bytes));
        }
        let (value, value_end) = parse_value(line, equals + 1)?;
        fields.push((unescape(field_key, b", =\""), value));
        match line.as_bytes().get(value_end) {
            Some(b',') => at = value_end + 1,
            _ => return Ok((fields, value_end)),
        }
    }
}

/// Where the `=` of the field that begins at `start` stands.
fn field_key_end(line: &str, start: usize) -> Result<usize, ErrorKind> {
    // The byte before a field is a comma, a space or a tab, so that its first byte is never escaped.
    let end = find_unescaped(line, start, b"=, ");
    match line.as_bytes().get(end) {
        Some(b'=' | b',') | None if end == start => Err(ErrorKind::MissingFieldKey),
        Some(b'=') => Ok(end),
        _ => Err(ErrorKind::InvalidFieldFormat),
    }
}

/// The value that begins at `start`, and where it ends: at the end of the line, a comma or a space.
fn parse_value(line: &str, start: usize) -> Result<(Value, usize), ErrorKind> {
    let bytes = line.as_bytes();
    match bytes.get(start) {
        None | Some(b',' | b' ') => Err(ErrorKind::MissingFieldValue),
        Some(b'"') => {
            let close = closing_quote(bytes, start + 1).ok_or(ErrorKind::UnbalancedQuotes)?;
            match bytes.get(close + 1) {
                None | Some(b',' | b' ') => Ok((Value::String(unescape(&line[start + 1..close], b"\"\\")), close + 1)),
                Some(_) => Err(ErrorKind::TextAfterString),
            }
        }
        Some(first) => {
            let length = bytes[start..].iter().position(|byte| matches!(byte, b',' | b' '));
            let end = length.map_or(bytes.len(), |length| start + length);
            let token = &line[start..end];
            let is_number = matches!(first, b'-' | b'.' | b'0'..=b'9');
            Ok((if is_number { parse_number(token)? } else { parse_boolean(token)? }, end))
        }
    }
}

fn closing_quote(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn parse_boolean(token: &str) -> Result<Value, ErrorKind> {
    match token {
        "t" | "T" | "true" | "True" | "TRUE" => Ok(Value::Boolean(true)),
        "f" | "F" | "false" | "False" | "FALSE" => Ok(Value::Boolean(false)),
        _ => Err(ErrorKind::InvalidBoolean),
    }
}

fn parse_number(token: &str) -> Result<Value, ErrorKind> {
    if let Some(integer) = token.strip_suffix('i') {
        if !is_digits(integer.strip_prefix('-').unwrap_or(integer)) {
            return Err(ErrorKind::InvalidNumber);
        }
        integer.parse().map(Value::Integer).map_err(|_| ErrorKind::IntegerOutOfRange)
    } else if let Some(unsigned) = token.strip_suffix('u') {
        if !is_digits(unsigned) {
            return Err(ErrorKind::InvalidNumber);
        }
        unsigned.parse().map(Value::Unsigned).map_err(|_| ErrorKind::UnsignedOutOfRange)
    } else {
        if !is_float(token) {
            return Err(ErrorKind::InvalidNumber);
        }
        // Correctly rounded for every mantissa; an exponent counts as 655 359 at most, which only a mantissa of as many digits can tell.
        let float: f64 = token.parse().map_err(|_| ErrorKind::InvalidNumber)?;
        if float.is_finite() { Ok(Value::Float(float)) } else { Err(ErrorKind::FloatOutOfRange) }
    }
}

/// `[0-9]+`
fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `-?` digits with at most one `.` among or around them, then `[eE][+-]?[0-9]+` or nothing.
fn is_float(token: &str) -> bool {
    let unsigned = token.strip_prefix('-').unwrap_or(token);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_is_good = match (whole, fraction) {
        ("", "") => false,
        ("", digits) | (digits, "") => is_digits(digits),
        (whole, fraction) => is_digits(whole) && is_digits(fraction),
    };
    let exponent_is_good =
        exponent.is_none_or(|exponent| is_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    mantissa_is_good && exponent_is_good
}

/// The timestamp behind the fields that end at `fields_end`, in nanoseconds.
fn parse_time(line: &str, fields_end: usize, precision: Precision) -> Result<Option<i64>, ErrorKind> {
    let start = skip_spaces_and_tabs(line.as_bytes(), fields_end);
    if start == line.len() {
        return Ok(None);
    }
    let (token, rest) = line[start..].split_once(' ').unwrap_or((&line[start..], ""));
    if !is_digits(token.strip_prefix('-').unwrap_or(token)) {
        return Err(ErrorKind::BadTimestamp);
    }
    let units: i64 = token.parse().map_err(|_| ErrorKind::TimeOutOfRange)?;
    let time = precision.scale(units).ok_or(ErrorKind::TimeOutOfRange)?;
    if rest.bytes().any(|byte| byte != b' ') {
        return Err(ErrorKind::TextAfterPoint);
    }
    Ok(Some(time))
}

/// `text` without the backslashes that stand right before one of `special`; every other backslash is data.
fn unescape(text: &str, special: &[u8]) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(backslash) = rest.find('\\') {
        let next = rest.as_bytes().get(backslash + 1);
        if next.is_some_and(|byte| special.contains(byte)) {
            plain.push_str(&rest[..backslash]);
            plain.push_str(&rest[backslash + 1..backslash + 2]);
            rest = &rest[backslash + 2..];
        } else {
            plain.push_str(&rest[..=backslash]);
            rest = &rest[backslash + 1..];
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(body: &[u8]) -> Vec<(u64, ErrorKind)> {
        parse(body, Precision::Nanosecond).errors.iter().map(|error| (error.line, error.kind)).collect()
    }

    #[test]
    fn good_lines_beside_bad_ones() {
        let parsed = parse(b"m,b=2,a=1 f=1.5,s=\"x\\\"\ny\" 7\n \tbad\r\n# no point\n\nm f=1i\n", Precision::Second);
        let text = |text: &str| text.to_owned();
        let first = Point {
            line: 1,
            measurement: text("m"),
            tags: vec![(text("a"), text("1")), (text("b"), text("2"))],
            fields: vec![(text("f"), Value::Float(1.5)), (text("s"), Value::String(text("x\"\ny")))],
            time: Some(7_000_000_000),
        };
        let last = Point {
            line: 6,
            measurement: text("m"),
            tags: Vec::new(),
            fields: vec![(text("f"), Value::Integer(1))],
            time: None,
        };
        assert_eq!(parsed.points, [first, last]);
        assert_eq!(parsed.errors, [LineError { line: 3, start: 30, end: 33, kind: ErrorKind::MissingFields }]);
    }

    #[test]
    fn every_float_that_the_syntax_allows_is_one_for_the_standard_library() {
        for token in ["1", "-1", "1.", ".5", "-.5", "1.e2", "1e5", "1E+5", "1e-5", "-0", "00.10", "1e-999"] {
            assert!(matches!(parse_number(token), Ok(Value::Float(_))), "{token}");
        }
        for token in ["", "-", ".", "-.", "+1", "1e", "1e+", ".e1", "1.2.3", "1e1.5", "--1", "1_0", "0x1", "1f", "1I"] {
            assert_eq!(parse_number(token), Err(ErrorKind::InvalidNumber), "{token}");
        }
    }

    #[test]
    fn long_bodies_take_linear_time() {
        let tags = [b"m".to_vec(), b",t=v".repeat(1 << 20), b" f=1".to_vec()].concat();
        assert_eq!(kinds(&tags), [(1, ErrorKind::DuplicateTag)]);
        let fields = [b"m f=1".to_vec(), b",f=1".repeat(1 << 20)].concat();
        assert_eq!(parse(&fields, Precision::Nanosecond).points[0].fields.len(), (1 << 20) + 1);
        let escapes = [b"m s=\"".to_vec(), b"\\\\\\\"\n".repeat(1 << 20)].concat();
        assert_eq!(kinds(&escapes), [(1, ErrorKind::UnbalancedQuotes)]);
    }
}
