//! Line protocol by example: every statement about it, by name, and what a parser must make of it.
//!
//! The table is the contract of every parser of this crate: give its result to [`check`] as a [`naive::Parsed`].

#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use ringest::line::grammar::{ErrorKind, ErrorKind::*, Precision};
use ringest::line::naive::{self, Parsed, Point, Value};

/// One body (timestamps in nanoseconds) and what it holds.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub body: &'static [u8],
    pub want: Want,
}

#[derive(Clone, Copy, Debug)]
pub enum Want {
    /// These points, as [`render`] writes them, and no error.
    Points(&'static [&'static str]),
    /// These errors (line, kind), and no point.
    Errors(&'static [(u64, ErrorKind)]),
    /// Good and bad lines in one body.
    Both(&'static [&'static str], &'static [(u64, ErrorKind)]),
}

const fn ok(name: &'static str, body: &'static [u8], points: &'static [&'static str]) -> Case {
    Case { name, body, want: Want::Points(points) }
}

const fn bad(name: &'static str, body: &'static [u8], errors: &'static [(u64, ErrorKind)]) -> Case {
    Case { name, body, want: Want::Errors(errors) }
}

const fn both(
    name: &'static str,
    body: &'static [u8],
    points: &'static [&'static str],
    errors: &'static [(u64, ErrorKind)],
) -> Case {
    Case { name, body, want: Want::Both(points, errors) }
}

/// Compares what a parser made of `case` with what it should have made of it.
pub fn check(case: &Case, parsed: &Parsed) {
    let (points, errors) = match case.want {
        Want::Points(points) => (points, &[][..]),
        Want::Errors(errors) => (&[][..], errors),
        Want::Both(points, errors) => (points, errors),
    };
    let body = String::from_utf8_lossy(case.body);
    let got_points: Vec<String> = parsed.points.iter().map(render).collect();
    let got_errors: Vec<(u64, ErrorKind)> = parsed.errors.iter().map(|error| (error.line, error.kind)).collect();
    assert_eq!(got_points, points, "points of {:?}: {body:?}", case.name);
    assert_eq!(got_errors, errors, "errors of {:?}: {body:?}", case.name);
}

/// A point as one line: `[line|]measurement[tag=value,...] field=value,... [@time]`.
///
/// The line is left out when it is 1; names that hold more than plain ASCII are written as Rust strings. Floats have a point or an
/// exponent, integers end in `i`, unsigned ones in `u`, strings stand in quotes.
pub fn render(point: &Point) -> String {
    let mut text = String::new();
    if point.line != 1 {
        write!(text, "{}|", point.line).unwrap();
    }
    text += &name(&point.measurement);
    if !point.tags.is_empty() {
        let tags: Vec<String> =
            point.tags.iter().map(|(key, value)| format!("{}={}", name(key), name(value))).collect();
        write!(text, "[{}]", tags.join(",")).unwrap();
    }
    for (index, (key, value)) in point.fields.iter().enumerate() {
        let separator = if index == 0 { ' ' } else { ',' };
        write!(text, "{separator}{}={}", name(key), render_value(value)).unwrap();
    }
    if let Some(time) = point.time {
        write!(text, " @{time}").unwrap();
    }
    text
}

fn name(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./#:%;+'*".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_plain) { name.to_owned() } else { format!("{name:?}") }
}

fn render_value(value: &Value) -> String {
    match value {
        Value::Float(float) => format!("{float:?}"),
        Value::Integer(integer) => format!("{integer}i"),
        Value::Unsigned(unsigned) => format!("{unsigned}u"),
        Value::Boolean(boolean) => format!("{boolean}"),
        Value::String(string) => format!("{string:?}"),
    }
}

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    // ---- shape: bodies without a point
    ok("empty body", b"", &[]),
    ok("blank lines", b"\n\n  \n\t\n \t ", &[]),
    ok("comments only", b"# one\n#two\n  # three", &[]),
    ok("one point, last LF there", b"m f=1\n", &["m f=1.0"]),
    ok("one point, last LF missing", b"m f=1", &["m f=1.0"]),
    ok("everything in one line", b"m,t=v,a=b f=1,g=2i,h=3u,s=\"x\",b=t 5\n", &[r#"m[a=b,t=v] f=1.0,g=2i,h=3u,s="x",b=true @5"#]),
    ok("lines are counted over blanks and comments", b"\n# c\n\r\nm f=1\n \nn g=2", &["4|m f=1.0", "6|n g=2.0"]),
    // ---- shape: where lines end
    ok("LF in a string is data", b"m f=\"a\nb\" 1\nn f=2", &[r#"m f="a\nb" @1"#, "3|n f=2.0"]),
    ok("LF in a second string", b"m f=1,g=\"a\nb\",h=\"\n\n\"\nn f=2", &[r#"m f=1.0,g="a\nb",h="\n\n""#, "5|n f=2.0"]),
    ok("LF behind strings with separators", b"m f=\"a,b=c\",g=\"=\n,\"\nn f=2", &[r#"m f="a,b=c",g="=\n,""#, "3|n f=2.0"]),
    ok("quote in measurement", b"m\"x f=1\nn f=2", &[r#""m\"x" f=1.0"#, "2|n f=2.0"]),
    ok("quote behind = in measurement", b"m=\"x f=1\nn f=2", &[r#""m=\"x" f=1.0"#, "2|n f=2.0"]),
    ok("quote in tag key", b"m,\"t=v f=1\nn f=2", &[r#"m["\"t"=v] f=1.0"#, "2|n f=2.0"]),
    ok("quote in tag value", b"m,t=\"v f=1\nn f=2", &[r#"m[t="\"v"] f=1.0"#, "2|n f=2.0"]),
    ok("quote in first field key", b"m \"f=1\nn f=2", &[r#"m "\"f"=1.0"#, "2|n f=2.0"]),
    ok("quote in first field key behind tags", b"m,t=v \"f=1\nn f=2", &[r#"m[t=v] "\"f"=1.0"#, "2|n f=2.0"]),
    ok("tab does not begin the fields", b"m\tx=\"a f=1\nn f=2", &[r#""m\tx=\"a" f=1.0"#, "2|n f=2.0"]),
    ok("LF behind an escaped quote in a string", b"m f=\"a\\\"\nb\"\nn f=2", &[r#"m f="a\"\nb""#, "3|n f=2.0"]),
    ok("LF behind a string that ends in backslashes", b"m f=\"a\\\\\"\nn f=2", &[r#"m f="a\\""#, "2|n f=2.0"]),
    ok("quotes around field key", b"m \"f\"=1\nn f=2", &[r#"m "\"f\""=1.0"#, "2|n f=2.0"]),
    ok("quote in second field key", b"m f=1,g\"=2\nn f=2", &[r#"m f=1.0,"g\""=2.0"#, "2|n f=2.0"]),
    ok("quote in key behind string with =", b"m f=\"==\",g\"=2\nn f=2", &[r#"m f="==","g\""=2.0"#, "2|n f=2.0"]),
    ok("quote behind escaped = in field key", b"m a\\=\"=1\nn f=2", &[r#"m "a=\""=1.0"#, "2|n f=2.0"]),
    ok("string behind escaped comma in key", b"m a\\,b=\"x\ny\"\nn f=2", &[r#"m "a,b"="x\ny""#, "3|n f=2.0"]),
    ok("escaped space does not begin the fields", b"m\\ x,t=\"y f=1\nn f=2", &[r#""m x"[t="\"y"] f=1.0"#, "2|n f=2.0"]),
    both("tag without fields, quote at the end", b"m,t=\"a\nn f=2", &["2|n f=2.0"], &[(1, MissingFields)]),
    both("escaped quote opens no string", b"m f=\\\"a\nn f=2", &["2|n f=2.0"], &[(1, InvalidBoolean)]),
    ok("string ends where its quote closes", b"m f=\"a\nn f=\"\nn f=2", &[r#"m f="a\nn f=""#, "3|n f=2.0"]),
    bad("unterminated string swallows the rest", b"m f=\"a\nn f=1\n,bad\n", &[(1, UnbalancedQuotes)]),
    both("unterminated string is one error on its line", b"m f=1\n\nm f=\"a\nn f=1\nbad", &["m f=1.0"], &[(3, UnbalancedQuotes)]),
    bad("quote in place of a timestamp opens a string", b"m f=1 \"\nn f=2", &[(1, BadTimestamp)]),
    bad("quote behind a timestamp opens a string", b"m f=1 5 \"\nn f=2", &[(1, TextAfterPoint)]),
    bad("quote behind a number opens a string", b"m f=1\"\nn f=2", &[(1, InvalidNumber)]),
    bad("quote behind a string opens a string", b"m f=\"a\"b\"\nn f=2", &[(1, TextAfterString)]),
    both("errors on their own lines", b"m\n\n,t=v f=1\nm f=1\nm f=\"\n\"x\nm =1", &["4|m f=1.0"], &[(1, MissingFields), (3, MissingMeasurement), (5, TextAfterString), (7, MissingFieldKey)]),
    both("semicolons separate nothing", b"m f=1;n f=2\nm;n f=1", &["2|m;n f=1.0"], &[(1, InvalidNumber)]),
    // ---- shape: spaces and tabs
    ok("leading spaces", b"   m f=1", &["m f=1.0"]),
    ok("leading tabs and spaces", b" \t m f=1\n\tn f=2", &["m f=1.0", "2|n f=2.0"]),
    ok("leading space does not begin the fields", b" m=\"x f=1\nn f=2", &[r#""m=\"x" f=1.0"#, "2|n f=2.0"]),
    ok("several spaces before fields", b"m    f=1", &["m f=1.0"]),
    ok("tab behind the first space", b"m \tf=1", &["m f=1.0"]),
    ok("tabs and spaces behind the first space", b"m \t \t f=1 5", &["m f=1.0 @5"]),
    ok("several spaces before the timestamp", b"m f=1   5", &["m f=1.0 @5"]),
    ok("tab behind the space before the timestamp", b"m f=1 \t5\nm f=\"x\" \t 5", &["m f=1.0 @5", r#"2|m f="x" @5"#]),
    ok("trailing space without timestamp", b"m f=1 \nm f=t   \nm f=\"x\" ", &["m f=1.0", "2|m f=true", r#"3|m f="x""#]),
    ok("trailing space and tab without timestamp", b"m f=1 \t", &["m f=1.0"]),
    ok("trailing spaces behind the timestamp", b"m f=1 5   ", &["m f=1.0 @5"]),
    ok("NUL is no space", b"m \0f=1", &[r#"m "\0f"=1.0"#]),
    ok("tab in names", b"m\tx,t\tu=v\tw f=1,\tg=2", &[r#""m\tx"["t\tu"="v\tw"] f=1.0,"\tg"=2.0"#]),
    bad("tab instead of the first space", b"m\tf=1", &[(1, MissingFields)]),
    bad("tab behind a tag instead of space", b"m,t=v\tf=1", &[(1, InvalidTagFormat)]),
    bad("tab before the timestamp behind number", b"m f=1\t5", &[(1, InvalidNumber)]),
    bad("tab before the timestamp behind boolean", b"m f=t\t5", &[(1, InvalidBoolean)]),
    bad("tab behind a string", b"m f=\"x\"\t5", &[(1, TextAfterString)]),
    bad("tab behind the timestamp", b"m f=1 5\t", &[(1, BadTimestamp)]),
    bad("tab behind timestamp and space", b"m f=1 5 \t", &[(1, TextAfterPoint)]),
    // ---- shape: comments
    ok("comment behind tab", b"\t # c\nm f=1", &["2|m f=1.0"]),
    ok("comment with a string opening", b"# it is=\"\nm f=1", &["2|m f=1.0"]),
    ok("comment ends at an escaped LF", b"# c\\\nm f=1", &["2|m f=1.0"]),
    ok("comment that is not UTF-8", b"# \xff\xfe\nm f=1", &["2|m f=1.0"]),
    ok("comment with CRLF", b"# c\r\nm f=1", &["2|m f=1.0"]),
    ok("# inside of names", b"m#x,#t=#v #f=1", &["m#x[#t=#v] #f=1.0"]),
    ok("escaped # begins a measurement", b"\\#m f=1", &[r##""\\#m" f=1.0"##]),
    ok("# at a line start inside a string", b"m f=\"\n# x\n\"", &[r##"m f="\n# x\n""##]),
    bad("no comment at the end of a line", b"m f=1 5 # x", &[(1, TextAfterPoint)]),
    bad("no comment instead of timestamp", b"m f=1 # x", &[(1, BadTimestamp)]),
    // ---- shape: CR
    ok("CRLF behind number and timestamp", b"m f=1\r\nm f=2i 5\r\n", &["m f=1.0", "2|m f=2i @5"]),
    ok("CRLF behind boolean and string", b"m f=t\r\nm f=\"x\"\r\n", &["m f=true", r#"2|m f="x""#]),
    ok("CRLF behind spaces", b"m f=1 \r\nm f=1 5 \r\nm f=1 \t\r\n", &["m f=1.0", "2|m f=1.0 @5", "3|m f=1.0"]),
    ok("CR at the end of the body", b"m f=1\r", &["m f=1.0"]),
    ok("CR right behind a string at the end of the body", b"m f=\"x\"\r", &[r#"m f="x""#]),
    ok("lines of CR alone are blank", b"\r\n \t\r\nm f=1\n\r", &["3|m f=1.0"]),
    ok("CR and CRLF in strings are data", b"m f=\"a\rb\r\nc\r\"\r\n", &[r#"m f="a\rb\r\nc\r""#]),
    ok("CR in names is data", b"m\rx,t=\rv \rf=1", &[r#""m\rx"[t="\rv"] "\rf"=1.0"#]),
    ok("CR at a line start is data", b"\rm f=1", &[r#""\rm" f=1.0"#]),
    bad("only one CR is stripped", b"m f=1\r\r\n", &[(1, InvalidNumber)]),
    bad("two CR are a measurement", b"\r\r\n", &[(1, MissingFields)]),
    bad("bare CR ends no line", b"m f=1\rm f=2", &[(1, InvalidNumber)]),
    bad("CR before trailing space", b"m f=1 5\r \n", &[(1, BadTimestamp)]),
    bad("CR behind the measurement", b"m\r\n", &[(1, MissingFields)]),
    bad("CR behind the space before fields", b"m \r\n", &[(1, MissingFields)]),
    bad("CR behind a field key", b"m f\r\n", &[(1, InvalidFieldFormat)]),
    bad("CR behind a field's =", b"m f=\r\n", &[(1, MissingFieldValue)]),
    bad("CR behind a field's comma", b"m f=1,\r\n", &[(1, MissingFieldKey)]),
    bad("CR behind a tag's =", b"m,t=\r\n", &[(1, MissingTagValue)]),
    bad("CR behind a tag's comma", b"m,\r\n", &[(1, MissingTagKey)]),
    bad("CR at the end of an unterminated string", b"m f=\"x\r", &[(1, UnbalancedQuotes)]),
    both("backslash CR LF is a line end", b"m,t=a\\\r\nn f=2", &["2|n f=2.0"], &[(1, MissingFields)]),
    ok("BOM belongs to the first measurement", b"\xef\xbb\xbfm f=1", &[r#""\u{feff}m" f=1.0"#]),
    // ---- escapes: measurement
    ok("measurement: comma and space", b"a\\,b\\ c f=1", &[r#""a,b c" f=1.0"#]),
    ok("measurement: escaped at its start", b"\\,m f=1\n\\ m f=1", &[r#"",m" f=1.0"#, r#"2|" m" f=1.0"#]),
    ok("measurement: \\= stays", b"a\\=b f=1", &[r#""a\\=b" f=1.0"#]),
    ok("measurement: \\\" stays", b"a\\\"b f=1", &[r#""a\\\"b" f=1.0"#]),
    ok("measurement: other backslashes stay", b"C:\\dir\\n f=1", &[r#""C:\\dir\\n" f=1.0"#]),
    ok("measurement: two backslashes stay two", b"a\\\\b f=1", &[r#""a\\\\b" f=1.0"#]),
    ok("measurement: backslash before an escaped comma", b"a\\\\,b f=1", &[r#""a\\,b" f=1.0"#]),
    bad("measurement: backslash at its end", b"m\\ f=1", &[(1, MissingFields)]),
    bad("measurement: backslash alone", b"\\", &[(1, MissingFields)]),
    // ---- escapes: tags
    ok("tag key: comma, space, =", b"m,a\\,b\\ c\\=d=v f=1", &[r#"m["a,b c=d"=v] f=1.0"#]),
    ok("tag value: comma, space, =", b"m,t=a\\,b\\ c\\=d f=1", &[r#"m[t="a,b c=d"] f=1.0"#]),
    ok("tag: \\\" and others stay", b"m,a\\\"b=c\\\"d\\e f=1", &[r#"m["a\\\"b"="c\\\"d\\e"] f=1.0"#]),
    ok("tag value: two backslashes stay two", b"m,t=a\\\\b f=1", &[r#"m[t="a\\\\b"] f=1.0"#]),
    ok("tag value: escaped = alone", b"m,t=\\= f=1", &[r#"m[t="="] f=1.0"#]),
    ok("tag key: escaped = then =", b"m,t\\==v f=1", &[r#"m["t="=v] f=1.0"#]),
    bad("tag value: backslash at its end", b"m,t=a\\ f=1", &[(1, InvalidTagFormat)]),
    bad("tag value: two backslashes at its end", b"m,t=a\\\\ f=1", &[(1, InvalidTagFormat)]),
    bad("tag value: backslash at its end, field without =", b"m,t=a\\ f", &[(1, MissingFields)]),
    bad("tag value: backslash before a comma", b"m,t=a\\,u=b f=1", &[(1, InvalidTagFormat)]),
    bad("tag key: backslash at its end", b"m,t\\=a f=1", &[(1, MissingTagValue)]),
    // ---- escapes: field keys
    ok("field key: comma, space, =, quote", b"m a\\,b\\ c\\=d\\\"e=1", &[r#"m "a,b c=d\"e"=1.0"#]),
    ok("field key: other backslashes stay", b"m a\\b\\\\c=1", &[r#"m "a\\b\\\\c"=1.0"#]),
    ok("field key: second one escaped at its start", b"m f=1,\\ g=2,\\==3", &[r#"m f=1.0," g"=2.0,"="=3.0"#]),
    bad("field key: backslash at its end", b"m f\\=1", &[(1, InvalidFieldFormat)]),
    bad("field key: two backslashes at its end", b"m f\\\\=1", &[(1, InvalidFieldFormat)]),
    // ---- escapes: strings
    ok("string: quote and backslash", b"m f=\"a\\\"b\\\\c\"", &[r#"m f="a\"b\\c""#]),
    ok("string: other backslashes stay", b"m f=\"\\n\\t\\,\\ \\=\\x\"", &[r#"m f="\\n\\t\\,\\ \\=\\x""#]),
    ok("string: backslash at its end", b"m f=\"dir\\\\\"", &[r#"m f="dir\\""#]),
    ok("string: backslash and quote at its end", b"m f=\"\\\\\\\"\"", &[r#"m f="\\\"""#]),
    ok("string: backslash LF keeps both", b"m f=\"a\\\nb\"\nn f=2", &[r#"m f="a\\\nb""#, "3|n f=2.0"]),
    ok("string: backslash pairs take two bytes each", b"m f=\"\\\\n\\\\\\n\"", &[r#"m f="\\n\\\\n""#]),
    bad("string: escaped quote does not close", b"m f=\"dir\\\"", &[(1, UnbalancedQuotes)]),
    bad("string: backslash is the body's last byte", b"m f=\"dir\\", &[(1, UnbalancedQuotes)]),
    // ---- escapes: LF outside of strings
    ok("backslash LF in measurement", b"m\\\nx f=1\nn f=2", &[r#""m\\\nx" f=1.0"#, "3|n f=2.0"]),
    ok("backslash LF in tags", b"m,t\\\nu=v\\\nw f=1\nn f=2", &[r#"m["t\\\nu"="v\\\nw"] f=1.0"#, "4|n f=2.0"]),
    ok("backslash LF in field key", b"m \\\nf=1\nn f=2", &[r#"m "\\\nf"=1.0"#, "3|n f=2.0"]),
    ok("two backslashes and LF continue the line", b"m\\\\\nx f=1", &[r#""m\\\\\nx" f=1.0"#]),
    both("backslash LF behind a number", b"m f=1\\\nn f=2\nn f=3", &["3|n f=3.0"], &[(1, InvalidNumber)]),
    bad("backslash LF at the end of the body", b"m f=1 5\\\n", &[(1, BadTimestamp)]),
    // ---- measurement
    ok("measurement: odd but legal bytes", b"a=b/c'd*\x01\x7f f=1", &[r#""a=b/c'd*\u{1}\u{7f}" f=1.0"#]),
    ok("measurement: = alone", b"= f=1", &[r#""=" f=1.0"#]),
    ok("measurement: NUL", b"a\0b f=1", &[r#""a\0b" f=1.0"#]),
    ok("measurement: underscore, time, digits", b"_m f=1\ntime f=1\n1 f=1", &["_m f=1.0", "2|time f=1.0", "3|1 f=1.0"]),
    ok("measurement: quotes stay", b"\"m\" f=1", &[r#""\"m\"" f=1.0"#]),
    ok("measurement: like a number with suffix", b"-1i f=1", &["-1i f=1.0"]),
    bad("measurement missing before tags", b",t=v f=1", &[(1, MissingMeasurement)]),
    bad("measurement missing, comma alone", b",", &[(1, MissingMeasurement)]),
    bad("measurement missing, comma and space", b"  , f=1", &[(1, MissingMeasurement)]),
    bad("measurement missing goes before bad tags", b",,= f=1", &[(1, MissingMeasurement)]),
    bad("measurement alone", b"m", &[(1, MissingFields)]),
    bad("measurement and space", b"m  ", &[(1, MissingFields)]),
    bad("measurement, space and tab", b"m \t", &[(1, MissingFields)]),
    // ---- tags
    ok("tags are sorted bytewise", b"m,b=1,B=2,\xc3\xa9=3,a=4,a.=5,ab=6 f=1", &[r#"m[B=2,a=4,a.=5,ab=6,b=1,"é"=3] f=1.0"#]),
    ok("tags are sorted by their unescaped keys", b"m,a\\ =1,a!=2,a\\,=3,a=4 f=1", &[r#"m[a=4,"a "=1,"a!"=2,"a,"=3] f=1.0"#]),
    ok("tag values are strings", b"m,a=1i,b=t,c=-1.5,d=\"x\" f=1", &[r#"m[a=1i,b=t,c=-1.5,d="\"x\""] f=1.0"#]),
    ok("tag and field of one name", b"m,f=a f=1", &["m[f=a] f=1.0"]),
    ok("tag with CR, NUL and control bytes", b"m,a\0=\x01\r f=1", &[r#"m["a\0"="\u{1}\r"] f=1.0"#]),
    ok("tag keys that are nearly reserved", b"m,Time=1,_time=2,_fields=3,_value=4,times=5 f=1", &["m[Time=1,_fields=3,_time=2,_value=4,times=5] f=1.0"]),
    ok("tag key that only looks reserved", b"m,\\time=1 f=1", &[r#"m["\\time"=1] f=1.0"#]),
    ok("reserved names as tag values", b"m,t=time,u=_field f=1", &["m[t=time,u=_field] f=1.0"]),
    bad("tag missing behind comma", b"m, f=1", &[(1, MissingTagKey)]),
    bad("tag missing at the end of the line", b"m,", &[(1, MissingTagKey)]),
    bad("tag missing between commas", b"m,,t=v f=1", &[(1, MissingTagKey)]),
    bad("tag missing behind a tag", b"m,t=v, f=1", &[(1, MissingTagKey)]),
    bad("tag missing between tags", b"m,t=v,,u=w f=1", &[(1, MissingTagKey)]),
    bad("tag key empty", b"m,=v f=1", &[(1, MissingTagKey)]),
    bad("tag key and value empty", b"m,= f=1", &[(1, MissingTagKey)]),
    bad("tag value empty", b"m,t= f=1", &[(1, MissingTagValue)]),
    bad("tag value empty before a tag", b"m,t=,u=v f=1", &[(1, MissingTagValue)]),
    bad("tag without =", b"m,t f=1", &[(1, MissingTagValue)]),
    bad("tag without = before a tag", b"m,t,u=v f=1", &[(1, MissingTagValue)]),
    bad("tag value with =", b"m,t=a=b f=1", &[(1, InvalidTagFormat)]),
    bad("tag value begins with =", b"m,t==b f=1", &[(1, InvalidTagFormat)]),
    bad("tag value is =", b"m,t== f=1", &[(1, InvalidTagFormat)]),
    bad("tag value ends with =", b"m,t=a= f=1", &[(1, InvalidTagFormat)]),
    bad("tag value with escaped and plain =", b"m,t=a\\=b=c f=1", &[(1, InvalidTagFormat)]),
    bad("quotes do not join a tag value", b"m,t=\"a b\" f=1", &[(1, InvalidFieldFormat)]),
    bad("quotes do not hide a comma", b"m,t=\"a,b\" f=1", &[(1, MissingTagValue)]),
    bad("tags are judged from the left", b"m,t=a=b,=c,u f=1", &[(1, InvalidTagFormat)]),
    bad("tags are judged from the left, key first", b"m,=c,t=a=b f=1", &[(1, MissingTagKey)]),
    bad("tags are judged from the left, value first", b"m,u,t=a=b f=1", &[(1, MissingTagValue)]),
    bad("duplicate tag", b"m,t=a,t=b f=1", &[(1, DuplicateTag)]),
    bad("duplicate tag of one value", b"m,t=a,t=a f=1", &[(1, DuplicateTag)]),
    bad("duplicate tag, not adjacent", b"m,t=a,u=b,v=c,t=d f=1", &[(1, DuplicateTag)]),
    bad("duplicate tag, escaped", b"m,t\\ =a,u=b,t\\ =c f=1", &[(1, DuplicateTag)]),
    bad("reserved tag: time", b"m,time=1 f=1", &[(1, ReservedTagKey("time"))]),
    bad("reserved tag: _field", b"m,a=b,_field=1 f=1", &[(1, ReservedTagKey("_field"))]),
    bad("reserved tag: _measurement", b"m,_measurement=1 f=1", &[(1, ReservedTagKey("_measurement"))]),
    bad("reserved tag: NUL", b"m,\0=1 f=1", &[(1, ReservedTagKey("\0"))]),
    bad("reserved tag: the first as written", b"m,z=1,time=1,_field=2 f=1", &[(1, ReservedTagKey("time"))]),
    bad("shape goes before duplicates", b"m,t=a,t=b,u f=1", &[(1, MissingTagValue)]),
    bad("duplicates go before reserved", b"m,time=1,t=a,t=b f=1", &[(1, DuplicateTag)]),
    bad("reserved twice is a duplicate", b"m,time=1,time=2 f=1", &[(1, DuplicateTag)]),
    bad("reserved goes before missing fields", b"m,time=1", &[(1, ReservedTagKey("time"))]),
    bad("duplicates go before missing fields", b"m,t=a,t=b ", &[(1, DuplicateTag)]),
    // ---- field keys
    ok("field names without meaning here", b"m time=1,_field=2,_time=3,_value=4,5=6", &["m time=1.0,_field=2.0,_time=3.0,_value=4.0,5=6.0"]),
    ok("field keys are case-sensitive", b"m f=1,F=2", &["m f=1.0,F=2.0"]),
    ok("duplicate fields are kept", b"m f=1,f=2,g=3,f=4i", &["m f=1.0,f=2.0,g=3.0,f=4i"]),
    ok("field key is a quote", b"m \"=1", &[r#"m "\""=1.0"#]),
    bad("field missing behind comma", b"m f=1,", &[(1, MissingFieldKey)]),
    bad("field missing before comma", b"m ,f=1", &[(1, MissingFieldKey)]),
    bad("field missing between commas", b"m f=1,,g=2", &[(1, MissingFieldKey)]),
    bad("field key empty", b"m =1", &[(1, MissingFieldKey)]),
    bad("second field key empty", b"m f=1,=2", &[(1, MissingFieldKey)]),
    bad("field without =", b"m f", &[(1, InvalidFieldFormat)]),
    bad("field without = before comma", b"m f,g=1", &[(1, InvalidFieldFormat)]),
    bad("second field without =", b"m f=1,g", &[(1, InvalidFieldFormat)]),
    bad("second field without = before timestamp", b"m f=1,g 5", &[(1, InvalidFieldFormat)]),
    bad("field of a timestamp alone", b"m 5", &[(1, InvalidFieldFormat)]),
    bad("space behind a comma", b"m f=1, g=2", &[(1, InvalidFieldFormat)]),
    bad("space behind the last comma", b"m f=1, ", &[(1, InvalidFieldFormat)]),
    bad("space before =", b"m f =1", &[(1, InvalidFieldFormat)]),
    bad("space behind =", b"m f= 1", &[(1, MissingFieldValue)]),
    bad("value missing", b"m f=", &[(1, MissingFieldValue)]),
    bad("value missing before comma", b"m f=,g=1", &[(1, MissingFieldValue)]),
    bad("value missing before timestamp", b"m f= 5", &[(1, MissingFieldValue)]),
    bad("value begins with =", b"m f==1", &[(1, InvalidBoolean)]),
    bad("value with =", b"m f=1=2", &[(1, InvalidNumber)]),
    bad("space instead of comma", b"m f=1 g=2", &[(1, BadTimestamp)]),
    bad("fields are judged from the left", b"m f=x,=1,g=1.1.1", &[(1, InvalidBoolean)]),
    bad("fields are judged from the left, key first", b"m =1,f=x", &[(1, MissingFieldKey)]),
    bad("fields go before the timestamp", b"m f=1,g=x y z", &[(1, InvalidBoolean)]),
    bad("equal signs and quotes that panic elsewhere", b"m k\\=\",\"=7,\"=\"", &[(1, InvalidFieldFormat)]),
    // ---- strings
    ok("string: empty", b"m f=\"\",g=\"\" 5", &[r#"m f="",g="" @5"#]),
    ok("string: separators are data", b"m f=\"a,b=c #d\t\" 5", &[r#"m f="a,b=c #d\t" @5"#]),
    ok("string: NUL and control bytes", b"m f=\"\0\x01\x7f\"", &[r#"m f="\0\u{1}\u{7f}""#]),
    ok("string: not ASCII", "m f=\"é日𝄞\"".as_bytes(), &[r#"m f="é日𝄞""#]),
    bad("string: text behind", b"m f=\"a\"b", &[(1, TextAfterString)]),
    bad("string: string behind", b"m f=\"a\"\"b\"", &[(1, TextAfterString)]),
    bad("string: = behind", b"m f=\"a\"=1", &[(1, TextAfterString)]),
    bad("string: suffix behind", b"m f=\"1\"i", &[(1, TextAfterString)]),
    bad("string: lone quote", b"m f=\"", &[(1, UnbalancedQuotes)]),
    bad("string: lone quote before comma", b"m f=\",g=1", &[(1, UnbalancedQuotes)]),
    bad("string: single quotes", b"m f='a'", &[(1, InvalidBoolean)]),
    bad("string: bare word", b"m f=word", &[(1, InvalidBoolean)]),
    // ---- integers
    ok("integer: limits", b"m a=9223372036854775807i,b=-9223372036854775808i", &["m a=9223372036854775807i,b=-9223372036854775808i"]),
    ok("integer: zeros", b"m a=0i,b=-0i,c=007i,d=-000000000000000000000000000001i", &["m a=0i,b=0i,c=7i,d=-1i"]),
    ok("integer: beyond 2^53", b"m f=9007199254740993i", &["m f=9007199254740993i"]),
    bad("integer: too large", b"m f=9223372036854775808i", &[(1, IntegerOutOfRange)]),
    bad("integer: too small", b"m f=-9223372036854775809i", &[(1, IntegerOutOfRange)]),
    bad("integer: far too large", b"m f=100000000000000000000000000000000000000000i", &[(1, IntegerOutOfRange)]),
    bad("integer: 2^64", b"m f=18446744073709551616i", &[(1, IntegerOutOfRange)]),
    bad("integer: plus sign", b"m f=+1i", &[(1, InvalidBoolean)]),
    bad("integer: fraction", b"m f=1.0i", &[(1, InvalidNumber)]),
    bad("integer: exponent", b"m f=1e3i", &[(1, InvalidNumber)]),
    bad("integer: hexadecimal", b"m f=0x1i", &[(1, InvalidNumber)]),
    bad("integer: capital suffix", b"m f=1I", &[(1, InvalidNumber)]),
    bad("integer: suffix alone", b"m f=i", &[(1, InvalidBoolean)]),
    bad("integer: minus and suffix", b"m f=-i", &[(1, InvalidNumber)]),
    bad("integer: two minus", b"m f=--1i", &[(1, InvalidNumber)]),
    bad("integer: minus inside", b"m f=1-1i", &[(1, InvalidNumber)]),
    bad("integer: two suffixes", b"m f=1ii", &[(1, InvalidNumber)]),
    bad("integer: digit behind suffix", b"m f=1i1", &[(1, InvalidNumber)]),
    bad("integer: both suffixes", b"m f=1ui", &[(1, InvalidNumber)]),
    bad("integer: too large and malformed", b"m f=99999999999999999999_i", &[(1, InvalidNumber)]),
    bad("integer: digits that are not ASCII", "m f=1١i".as_bytes(), &[(1, InvalidNumber)]),
    // ---- unsigned integers
    ok("unsigned: limits", b"m a=0u,b=18446744073709551615u,c=0000000000000000000000000001u", &["m a=0u,b=18446744073709551615u,c=1u"]),
    bad("unsigned: too large", b"m f=18446744073709551616u", &[(1, UnsignedOutOfRange)]),
    bad("unsigned: far too large", b"m f=1000000000000000000000000000000000000000u", &[(1, UnsignedOutOfRange)]),
    bad("unsigned: minus", b"m f=-1u", &[(1, InvalidNumber)]),
    bad("unsigned: minus zero", b"m f=-0u", &[(1, InvalidNumber)]),
    bad("unsigned: fraction", b"m f=1.5u", &[(1, InvalidNumber)]),
    bad("unsigned: capital suffix", b"m f=1U", &[(1, InvalidNumber)]),
    bad("unsigned: suffix alone", b"m f=u", &[(1, InvalidBoolean)]),
    bad("unsigned: both suffixes", b"m f=1iu", &[(1, InvalidNumber)]),
    // ---- floats
    ok("float: plain", b"m a=1,b=-1,c=1.5,d=-1.5,e=007,f=0.10", &["m a=1.0,b=-1.0,c=1.5,d=-1.5,e=7.0,f=0.1"]),
    ok("float: no digit on one side", b"m a=1.,b=.5,c=-.5,d=-1.", &["m a=1.0,b=0.5,c=-0.5,d=-1.0"]),
    ok("float: exponents", b"m a=1e2,b=1E2,c=1e+2,d=1e-2,e=1.e2,f=.5e1,g=1e002", &["m a=100.0,b=100.0,c=100.0,d=0.01,e=100.0,f=5.0,g=100.0"]),
    ok("float: minus zero", b"m a=-0,b=0,c=-0.0,d=-0e5", &["m a=-0.0,b=0.0,c=-0.0,d=-0.0"]),
    ok("float: limits", b"m a=1.7976931348623157e308,b=-1.7976931348623157e308,c=5e-324", &["m a=1.7976931348623157e308,b=-1.7976931348623157e308,c=5e-324"]),
    ok("float: rounds up to the largest", b"m f=1.7976931348623158e308", &["m f=1.7976931348623157e308"]),
    ok("float: underflow", b"m a=1e-400,b=-1e-400,c=1e-999999999999,d=2e-324", &["m a=0.0,b=-0.0,c=0.0,d=0.0"]),
    ok("float: zero with a huge exponent", b"m f=0e99999999999", &["m f=0.0"]),
    ok("float: integers round without suffix", b"m a=9007199254740993,b=18446744073709551616", &["m a=9007199254740992.0,b=1.8446744073709552e19"]),
    ok("float: halfway cases", b"m a=9007199254740993.0000000000000000000000000000000000000001,b=2.2250738585072011e-308", &["m a=9007199254740994.0,b=2.225073858507201e-308"]),
    ok("float: many digits", b"m f=3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798", &["m f=3.141592653589793"]),
    bad("float: too large", b"m f=1e309", &[(1, FloatOutOfRange)]),
    bad("float: too small", b"m f=-1e400", &[(1, FloatOutOfRange)]),
    bad("float: just too large", b"m f=1.7976931348623159e308", &[(1, FloatOutOfRange)]),
    bad("float: huge exponent", b"m f=1e99999999999999999999", &[(1, FloatOutOfRange)]),
    bad("float: plus sign", b"m f=+1", &[(1, InvalidBoolean)]),
    bad("float: point alone", b"m f=.", &[(1, InvalidNumber)]),
    bad("float: minus alone", b"m f=-", &[(1, InvalidNumber)]),
    bad("float: minus and point", b"m f=-.", &[(1, InvalidNumber)]),
    bad("float: two points", b"m f=1.2.3", &[(1, InvalidNumber)]),
    bad("float: exponent without digits", b"m f=1e", &[(1, InvalidNumber)]),
    bad("float: exponent sign without digits", b"m f=1e+", &[(1, InvalidNumber)]),
    bad("float: exponent with point", b"m f=1e1.5", &[(1, InvalidNumber)]),
    bad("float: two exponents", b"m f=1e1e1", &[(1, InvalidNumber)]),
    bad("float: exponent without mantissa", b"m f=.e1", &[(1, InvalidNumber)]),
    bad("float: underscore", b"m f=1_000", &[(1, InvalidNumber)]),
    bad("float: hexadecimal", b"m f=0x1p4", &[(1, InvalidNumber)]),
    bad("float: suffix", b"m f=1f", &[(1, InvalidNumber)]),
    bad("float: NaN", b"m f=NaN", &[(1, InvalidBoolean)]),
    bad("float: nan", b"m f=nan", &[(1, InvalidBoolean)]),
    bad("float: Inf", b"m f=Inf", &[(1, InvalidBoolean)]),
    bad("float: infinity", b"m f=infinity", &[(1, InvalidBoolean)]),
    bad("float: -inf", b"m f=-inf", &[(1, InvalidNumber)]),
    bad("float: -nan", b"m f=-nan", &[(1, InvalidNumber)]),
    bad("float: quote inside", b"m f=1\"2\"", &[(1, InvalidNumber)]),
    bad("float: escaped space behind", b"m f=1\\ 5", &[(1, InvalidNumber)]),
    // ---- booleans
    ok("boolean: true", b"m a=t,b=T,c=true,d=True,e=TRUE", &["m a=true,b=true,c=true,d=true,e=true"]),
    ok("boolean: false", b"m a=f,b=F,c=false,d=False,e=FALSE", &["m a=false,b=false,c=false,d=false,e=false"]),
    bad("boolean: mixed case", b"m f=tRUE\nm f=FaLSE\nm f=tr\nm f=truee", &[(1, InvalidBoolean), (2, InvalidBoolean), (3, InvalidBoolean), (4, InvalidBoolean)]),
    bad("boolean: other words", b"m f=yes\nm f=on\nm f=null\nm f=tt", &[(1, InvalidBoolean), (2, InvalidBoolean), (3, InvalidBoolean), (4, InvalidBoolean)]),
    bad("boolean: behind a digit", b"m f=1t", &[(1, InvalidNumber)]),
    // ---- timestamps
    ok("timestamp: zero, signs and zeros", b"m f=1 0\nm f=1 -0\nm f=1 007\nm f=1 -1", &["m f=1.0 @0", "2|m f=1.0 @0", "3|m f=1.0 @7", "4|m f=1.0 @-1"]),
    ok("timestamp: many zeros", b"m f=1 0000000000000000000000000000000000001", &["m f=1.0 @1"]),
    ok("timestamp: limits", b"m f=1 9223372036854775806\nm f=1 -9223372036854775806", &["m f=1.0 @9223372036854775806", "2|m f=1.0 @-9223372036854775806"]),
    bad("timestamp: largest i64", b"m f=1 9223372036854775807", &[(1, TimeOutOfRange)]),
    bad("timestamp: smallest i64 and the next", b"m f=1 -9223372036854775808\nm f=1 -9223372036854775807", &[(1, TimeOutOfRange), (2, TimeOutOfRange)]),
    bad("timestamp: beyond i64", b"m f=1 9223372036854775808\nm f=1 100000000000000000000", &[(1, TimeOutOfRange), (2, TimeOutOfRange)]),
    bad("timestamp: plus sign", b"m f=1 +5", &[(1, BadTimestamp)]),
    bad("timestamp: fraction", b"m f=1 5.0", &[(1, BadTimestamp)]),
    bad("timestamp: exponent", b"m f=1 5e3", &[(1, BadTimestamp)]),
    bad("timestamp: suffix", b"m f=1 5i\nm f=1 5s", &[(1, BadTimestamp), (2, BadTimestamp)]),
    bad("timestamp: minus alone", b"m f=1 -", &[(1, BadTimestamp)]),
    bad("timestamp: two minus", b"m f=1 --5", &[(1, BadTimestamp)]),
    bad("timestamp: quoted", b"m f=1 \"5\"", &[(1, BadTimestamp)]),
    bad("timestamp: a date", b"m f=1 2026-11-01T00:00:00Z", &[(1, BadTimestamp)]),
    bad("timestamp: comma behind", b"m f=1 5,g=2", &[(1, BadTimestamp)]),
    bad("timestamp: comma alone", b"m f=1 ,", &[(1, BadTimestamp)]),
    bad("timestamp: two of them", b"m f=1 5 6", &[(1, TextAfterPoint)]),
    bad("timestamp: out of range goes before text behind", b"m f=1 9223372036854775807 6", &[(1, TimeOutOfRange)]),
    bad("timestamp: bad goes before text behind", b"m f=1 x y", &[(1, BadTimestamp)]),
    // ---- bytes
    ok("bytes: wide spaces are data", "m\u{a0}x,t=\u{3000} f\u{200b}=1".as_bytes(), &[r#""m\u{a0}x"[t="\u{3000}"] "f\u{200b}"=1.0"#]),
    ok("bytes: line separators of Unicode are data", "m\u{2028}x\u{85} f=1".as_bytes(), &[r#""m\u{2028}x\u{85}" f=1.0"#]),
    ok("bytes: percent signs are data", b"m%20,t=%2C f=1", &["m%20[t=%2C] f=1.0"]),
    ok("bytes: not ASCII everywhere", "é,日=本 𝄞=1".as_bytes(), &[r#""é"["日"="本"] "𝄞"=1.0"#]),
    ok("bytes: the last code point", b"\xf4\x8f\xbf\xbf f=1", &[r#""\u{10ffff}" f=1.0"#]),
    bad("bytes: bad in measurement", b"m\xff f=1", &[(1, InvalidUtf8)]),
    bad("bytes: bad in tags", b"m,\xff=v f=1\nm,t=\xfe f=1", &[(1, InvalidUtf8), (2, InvalidUtf8)]),
    bad("bytes: bad in field key, string and number", b"m \x80=1\nm f=\"\xc3\"\nm f=1\xa0", &[(1, InvalidUtf8), (2, InvalidUtf8), (3, InvalidUtf8)]),
    bad("bytes: bad in timestamp", b"m f=1 5\xff", &[(1, InvalidUtf8)]),
    bad("bytes: overlong", b"m\xc0\x80 f=1\nm\xe0\x80\xaf f=1", &[(1, InvalidUtf8), (2, InvalidUtf8)]),
    bad("bytes: surrogate", b"m\xed\xa0\x80 f=1", &[(1, InvalidUtf8)]),
    bad("bytes: beyond Unicode", b"m\xf4\x90\x80\x80 f=1", &[(1, InvalidUtf8)]),
    bad("bytes: cut off by the line's end", b"m,t=\xe6\x97\n\xa5 f=1", &[(1, InvalidUtf8), (2, InvalidUtf8)]),
    bad("bytes: go before the shape", b",\xff", &[(1, InvalidUtf8)]),
    bad("bytes: bad behind an unterminated string", b"m f=\"a\nb \xff\nn f=1", &[(1, InvalidUtf8)]),
    both("bytes: only the line that holds them", b"m f=1\nm\xff f=1\nm f=2", &["m f=1.0", "3|m f=2.0"], &[(2, InvalidUtf8)]),
    both("bytes: bad in text behind a point", b"m f=1 5 \xff\nm f=1 \xc3\xa9\nm f=2", &["3|m f=2.0"], &[(1, InvalidUtf8), (2, BadTimestamp)]),
];

/// Bodies whose timestamps are not in nanoseconds.
#[rustfmt::skip]
pub const SCALED: &[(Precision, Case)] = &[
    (Precision::Microsecond, ok("us", b"m f=1 1\nm f=1 -1", &["m f=1.0 @1000", "2|m f=1.0 @-1000"])),
    (Precision::Millisecond, ok("ms", b"m f=1 1730000000123", &["m f=1.0 @1730000000123000000"])),
    (Precision::Second, ok("s", b"m f=1 1730000000\nm f=1 0", &["m f=1.0 @1730000000000000000", "2|m f=1.0 @0"])),
    (Precision::Minute, ok("m", b"m f=1 1", &["m f=1.0 @60000000000"])),
    (Precision::Hour, ok("h", b"m f=1 -1", &["m f=1.0 @-3600000000000"])),
    (Precision::Hour, ok("no time stays none", b"m f=1", &["m f=1.0"])),
    (Precision::Second, bad("ns given as s", b"m f=1 1730000000123456789", &[(1, TimeOutOfRange)])),
    (Precision::Second, ok("largest s", b"m f=1 9223372036", &["m f=1.0 @9223372036000000000"])),
    (Precision::Second, bad("too large by one s", b"m f=1 9223372037\nm f=1 -9223372037", &[(1, TimeOutOfRange), (2, TimeOutOfRange)])),
    (Precision::Microsecond, ok("largest us", b"m f=1 9223372036854775", &["m f=1.0 @9223372036854775000"])),
    (Precision::Microsecond, bad("product wraps to a small number", b"m f=1 18446744073709552", &[(1, TimeOutOfRange)])),
    (Precision::Hour, bad("i64 limits as h", b"m f=1 9223372036854775807\nm f=1 -9223372036854775808", &[(1, TimeOutOfRange), (2, TimeOutOfRange)])),
    (Precision::Hour, bad("BadTimestamp goes before the range", b"m f=1 99999999999999999999x", &[(1, BadTimestamp)])),
];

/// Bodies (in nanoseconds) too long for a table: name, body, and the one error of line 1, if it is one.
pub fn long_bodies() -> Vec<(&'static str, Vec<u8>, Option<ErrorKind>)> {
    let name = |bytes: usize| "n".repeat(bytes);
    let body = |name, text: String, error| (name, text.into_bytes(), error);
    vec![
        body("measurement alone is as long as a field lets it", format!("{} f=1", name(65_530)), None),
        body("longest key, too long with its field", format!("{} f=1", name(65_531)), Some(KeyTooLong(65_536))),
        body("key that no field can follow", format!("{} f=1", name(65_535)), Some(KeyTooLong(65_540))),
        body("key too long", format!("{} f=1", name(65_536)), Some(KeyTooLong(65_536))),
        body("key too long, tags counted", format!("m,t={} f=1", name(65_532)), Some(KeyTooLong(65_536))),
        body("escapes count", format!("{} f=1", "\\,".repeat(32_768)), Some(KeyTooLong(65_536))),
        body("bytes count, not characters", format!("{} f=1", "é".repeat(32_768)), Some(KeyTooLong(65_536))),
        body("longest field key", format!("m {}=1", name(65_530)), None),
        body("field key too long", format!("m {}=1", name(65_531)), Some(KeyTooLong(65_536))),
        body("escapes of a field key count", format!("m \\={}=1", name(65_529)), Some(KeyTooLong(65_536))),
        body("second field key too long", format!("m f=1,{}=1", name(65_531)), Some(KeyTooLong(65_536))),
        body("bad value goes before a later long key", format!("m f=x,{}=1", name(65_531)), Some(InvalidBoolean)),
        body("long field key goes before its value", format!("m {}=x", name(70_000)), Some(KeyTooLong(70_005))),
        body("long field key without =", format!("m {}", name(70_000)), Some(InvalidFieldFormat)),
        body("key too long goes before missing fields", name(65_536), Some(KeyTooLong(65_536))),
        body("longest key without fields", name(65_535), Some(MissingFields)),
        body("bad shape goes before the length", format!("{},t f=1", name(70_000)), Some(MissingTagValue)),
        body("duplicates go before the length", format!("{},t=1,t=2 f=1", name(70_000)), Some(DuplicateTag)),
        body("reserved goes before the length", format!("{},time=1 f=1", name(70_000)), Some(ReservedTagKey("time"))),
        body("leading spaces do not count", format!("{}m f=1", " ".repeat(70_000)), None),
        body("long string", format!("m f=\"{}\" 5", name(2_000_000)), None),
        body("long float", format!("m f=0.{}1 5", "0".repeat(100_000)), None),
        body("long integer", format!("m f={}1i 5", "0".repeat(100_000)), None),
        body("many tags", format!("m{} f=1", (0..5_000).map(|i| format!(",t{i}=v")).collect::<String>()), None),
        body("many fields", format!("m f=1{}", (0..50_000).map(|i| format!(",f{i}={i}i")).collect::<String>()), None),
    ]
}

/// Bodies and the lines that their errors cite.
#[rustfmt::skip]
pub const CITED: &[(&[u8], &[&[u8]])] = &[
    (b"bad", &[b"bad"]),
    (b" \t bad \r\n\n\r\n\tbad,\n", &[b"bad ", b"bad,"]),
    (b"m f=1\r\nm f=x 5\r\nm f=\"a\nb\"c\r\nm f=1", &[b"m f=x 5", b"m f=\"a\nb\"c"]),
    (b"m f=1\\\n\r\nm f=1", &[b"m f=1\\\n"]),
    (b"# c\n m f=\"a\r\nb\r", &[b"m f=\"a\r\nb\r"]),
    (b"m\xff\n,\n", &[b"m\xff", b","]),
];

#[test]
fn the_reference_parser_makes_of_every_case_what_it_should() {
    for case in CASES {
        check(case, &naive::parse(case.body, Precision::Nanosecond));
    }
    for (precision, case) in SCALED {
        check(case, &naive::parse(case.body, *precision));
    }
    for (name, body, error) in long_bodies() {
        let parsed = naive::parse(&body, Precision::Nanosecond);
        let errors: Vec<ErrorKind> = parsed.errors.iter().map(|error| error.kind).collect();
        assert_eq!(errors, error.into_iter().collect::<Vec<_>>(), "{name}");
        assert_eq!(parsed.points.len(), usize::from(error.is_none()), "{name}");
    }
    for (body, lines) in CITED {
        let parsed = naive::parse(body, Precision::Nanosecond);
        let cited: Vec<&[u8]> = parsed.errors.iter().map(|error| &body[error.start..error.end]).collect();
        assert_eq!(&cited, lines, "{:?}", String::from_utf8_lossy(body));
    }
}

/// Where a case stands among others does not matter: lines before it only move its line numbers.
#[test]
fn cases_hold_behind_other_lines() {
    for case in CASES {
        let alone = naive::parse(case.body, Precision::Nanosecond);
        let moved = naive::parse(&[b"# c\n\n \r\n", case.body].concat(), Precision::Nanosecond);
        let lines = |parsed: &Parsed, by: u64| -> Vec<u64> {
            let points = parsed.points.iter().map(|point| point.line + by);
            points.chain(parsed.errors.iter().map(|error| error.line + by)).collect()
        };
        assert_eq!(lines(&moved, 0), lines(&alone, 3), "{}", case.name);
    }
}

#[test]
fn no_two_cases_have_one_name() {
    let mut names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1]));
}
