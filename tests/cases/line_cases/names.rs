//! Escapes and measurements.

use super::{Case, bad, both, ok};
use ringest::line::grammar::ErrorKind::*;

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    // ---- A2.1 escapes: measurement
    ok("A2.1 measurement: comma and space", b"a\\,b\\ c f=1", &[r#""a,b c" f=1.0"#]),
    ok("A2.1 measurement: escaped at its start", b"\\,m f=1\n\\ m f=1", &[r#"",m" f=1.0"#, r#"2|" m" f=1.0"#]),
    ok("A2.1 measurement: \\= stays", b"a\\=b f=1", &[r#""a\\=b" f=1.0"#]),
    ok("A2.1 measurement: \\\" stays", b"a\\\"b f=1", &[r#""a\\\"b" f=1.0"#]),
    ok("A2.1 escapes one after the other", b"\\,\\ \\,\\  f=1", &[r#"", , " f=1.0"#]),
    // ---- A2.2 escapes: tags
    ok("A2.2 tag key: comma, space, =", b"m,a\\,b\\ c\\=d=v f=1", &[r#"m["a,b c=d"=v] f=1.0"#]),
    ok("A2.2 tag value: comma, space, =", b"m,t=a\\,b\\ c\\=d f=1", &[r#"m[t="a,b c=d"] f=1.0"#]),
    ok("A2.2 tag value: escaped = alone", b"m,t=\\= f=1", &[r#"m[t="="] f=1.0"#]),
    ok("A2.2 tag key: escaped = then =", b"m,t\\==v f=1", &[r#"m["t="=v] f=1.0"#]),
    ok("A2.2 escapes one after the other", b"m,\\=\\,\\ =\\ \\,\\= f=1", &[r#"m["=, "=" ,="] f=1.0"#]),
    ok("A2.2 escaped and plain spelling of one key in two points", b"m,a\\b=1 f=1\nm,a\\\\b=1 f=2", &[r#"m["a\\b"=1] f=1.0"#, r#"2|m["a\\\\b"=1] f=2.0"#]),
    // ---- A2.3 escapes: field keys
    ok("A2.3 field key: comma, space, =, quote", b"m a\\,b\\ c\\=d\\\"e=1", &[r#"m "a,b c=d\"e"=1.0"#]),
    ok("A2.3 field key: second one escaped at its start", b"m f=1,\\ g=2,\\==3", &[r#"m f=1.0," g"=2.0,"="=3.0"#]),
    ok("A2.3 escapes one after the other", b"m \\=\\,\\ \\\"=1", &[r#"m "=, \""=1.0"#]),
    // ---- A2.4 escapes: strings
    ok("A2.4 string: quote and backslash", b"m f=\"a\\\"b\\\\c\"", &[r#"m f="a\"b\\c""#]),
    ok("A2.4 string: backslash LF keeps both", b"m f=\"a\\\nb\"\nn f=2", &[r#"m f="a\\\nb""#, "3|n f=2.0"]),
    ok("A2.4 string: backslash pairs take two bytes each", b"m f=\"\\\\n\\\\\\n\"", &[r#"m f="\\n\\\\n""#]),
    ok("A2.4 nothing but escapes", b"m f=\"\\\"\\\"\\\\\\\\\\\"\"", &[r#"m f="\"\"\\\\\"""#]),
    // ---- A2.5 escapes: every other backslash is data
    ok("A2.5 measurement: other backslashes stay", b"C:\\dir\\n f=1", &[r#""C:\\dir\\n" f=1.0"#]),
    ok("A2.5 tag: \\\" and others stay", b"m,a\\\"b=c\\\"d\\e f=1", &[r#"m["a\\\"b"="c\\\"d\\e"] f=1.0"#]),
    ok("A2.5 field key: other backslashes stay", b"m a\\b\\\\c=1", &[r#"m "a\\b\\\\c"=1.0"#]),
    ok("A2.5 string: other backslashes stay", b"m f=\"\\n\\t\\,\\ \\=\\x\"", &[r#"m f="\\n\\t\\,\\ \\=\\x""#]),
    ok("A2.5 backslash n is two bytes everywhere", b"m\\n,t\\n=v\\n f\\n=\"s\\n\"", &[r#""m\\n"["t\\n"="v\\n"] "f\\n"="s\\n""#]),
    ok("A2.5 tag value: a path", b"m,t=C:\\dir\\file f=1", &[r#"m[t="C:\\dir\\file"] f=1.0"#]),
    ok("A2.5 backslash before a byte that is not ASCII", "m\\é,t=\\日 f\\𝄞=\"\\é\"".as_bytes(), &[r#""m\\é"[t="\\日"] "f\\𝄞"="\\é""#]),
    // ---- A2.6 escapes: backslashes do not escape each other
    ok("A2.6 measurement: two backslashes stay two", b"a\\\\b f=1", &[r#""a\\\\b" f=1.0"#]),
    ok("A2.6 tag value: two backslashes stay two", b"m,t=a\\\\b f=1", &[r#"m[t="a\\\\b"] f=1.0"#]),
    ok("A2.6 tag key and field key: two stay two", b"m,a\\\\b=v c\\\\d=1", &[r#"m["a\\\\b"=v] "c\\\\d"=1.0"#]),
    ok("A2.6 three and four stay", b"a\\\\\\b,t=c\\\\\\\\d f=1", &[r#""a\\\\\\b"[t="c\\\\\\\\d"] f=1.0"#]),
    // ---- A2.7 escapes: no name ends in a backslash
    bad("A2.7 measurement: backslash at its end", b"m\\ f=1", &[(1, MissingFields)]),
    bad("A2.7 measurement: backslash alone", b"\\", &[(1, MissingFields)]),
    bad("A2.7 tag value: backslash at its end", b"m,t=a\\ f=1", &[(1, InvalidTagFormat)]),
    bad("A2.7 tag value: two backslashes at its end", b"m,t=a\\\\ f=1", &[(1, InvalidTagFormat)]),
    bad("A2.7 tag value: backslash at its end, field without =", b"m,t=a\\ f", &[(1, MissingFields)]),
    bad("A2.7 tag value: backslash before a comma", b"m,t=a\\,u=b f=1", &[(1, InvalidTagFormat)]),
    bad("A2.7 tag key: backslash at its end", b"m,t\\=a f=1", &[(1, MissingTagValue)]),
    bad("A2.7 field key: backslash at its end", b"m f\\=1", &[(1, InvalidFieldFormat)]),
    bad("A2.7 field key: two backslashes at its end", b"m f\\\\=1", &[(1, InvalidFieldFormat)]),
    bad("A2.7 measurement: backslash before its tags", b"m\\,t=v", &[(1, MissingFields)]),
    bad("A2.7 tag key and value: backslash before both", b"m,t\\=v\\ f=1", &[(1, MissingFields)]),
    bad("A2.7 field key: backslash before =, more fields behind", b"m f\\=1,g=2", &[(1, InvalidFieldFormat)]),
    // ---- A2.8 escapes: the byte right before decides
    ok("A2.8 measurement: backslash before an escaped comma", b"a\\\\,b f=1", &[r#""a\\,b" f=1.0"#]),
    ok("A2.8 tag value: two backslashes before a comma", b"m,t=a\\\\,b f=1", &[r#"m[t="a\\,b"] f=1.0"#]),
    ok("A2.8 tag key: two backslashes before =", b"m,a\\\\=b=v f=1", &[r#"m["a\\=b"=v] f=1.0"#]),
    ok("A2.8 field key: two backslashes before a space", b"m a\\\\ b=1", &[r#"m "a\\ b"=1.0"#]),
    ok("A2.8 field key: two backslashes before a quote", b"m a\\\\\"b=1", &[r#"m "a\\\"b"=1.0"#]),
    // ---- A2.9 escapes: LF outside of strings
    ok("A2.9 backslash LF in measurement", b"m\\\nx f=1\nn f=2", &[r#""m\\\nx" f=1.0"#, "3|n f=2.0"]),
    ok("A2.9 backslash LF in tags", b"m,t\\\nu=v\\\nw f=1\nn f=2", &[r#"m["t\\\nu"="v\\\nw"] f=1.0"#, "4|n f=2.0"]),
    ok("A2.9 backslash LF in field key", b"m \\\nf=1\nn f=2", &[r#"m "\\\nf"=1.0"#, "3|n f=2.0"]),
    ok("A2.9 two backslashes and LF continue the line", b"m\\\\\nx f=1", &[r#""m\\\\\nx" f=1.0"#]),
    both("A2.9 backslash LF behind a number", b"m f=1\\\nn f=2\nn f=3", &["3|n f=3.0"], &[(1, InvalidNumber)]),
    bad("A2.9 backslash LF at the end of the body", b"m f=1 5\\\n", &[(1, BadTimestamp)]),
    ok("A2.9 backslash LF and CRLF behind", b"m\\\nx f=1\r\nn f=2\r\n", &[r#""m\\\nx" f=1.0"#, "3|n f=2.0"]),
    bad("A2.9 backslash LF behind a string", b"m f=\"a\"\\\nn f=2", &[(1, TextAfterString)]),
    bad("A2.9 backslash LF in place of fields", b"m \\\n", &[(1, InvalidFieldFormat)]),
    // ---- A2.10 escapes: backslashes at the end of a string
    ok("A2.10 string: backslash at its end", b"m f=\"dir\\\\\"", &[r#"m f="dir\\""#]),
    ok("A2.10 string: backslash and quote at its end", b"m f=\"\\\\\\\"\"", &[r#"m f="\\\"""#]),
    bad("A2.10 string: escaped quote does not close", b"m f=\"dir\\\"", &[(1, UnbalancedQuotes)]),
    bad("A2.10 string: backslash is the body's last byte", b"m f=\"dir\\", &[(1, UnbalancedQuotes)]),
    ok("A2.10 four backslashes are two", b"m f=\"\\\\\\\\\",g=\"\\\\\"", &[r#"m f="\\\\",g="\\""#]),
    bad("A2.10 three backslashes and a quote", b"m f=\"a\\\\\\\"", &[(1, UnbalancedQuotes)]),
    // ---- A3.1 measurement: required
    bad("A3.1 measurement missing before tags", b",t=v f=1", &[(1, MissingMeasurement)]),
    bad("A3.1 measurement missing, comma alone", b",", &[(1, MissingMeasurement)]),
    bad("A3.1 measurement missing, comma and space", b"  , f=1", &[(1, MissingMeasurement)]),
    bad("A3.1 measurement missing goes before bad tags", b",,= f=1", &[(1, MissingMeasurement)]),
    bad("A3.1 nothing before an escaped-looking tag", b",\\ =1 f=1", &[(1, MissingMeasurement)]),
    // ---- A3.2 measurement: its bytes
    ok("A3.2 measurement: odd but legal bytes", b"a=b/c'd*\x01\x7f f=1", &[r#""a=b/c'd*\u{1}\u{7f}" f=1.0"#]),
    ok("A3.2 measurement: = alone", b"= f=1", &[r#""=" f=1.0"#]),
    ok("A3.2 measurement: NUL", b"a\0b f=1", &[r#""a\0b" f=1.0"#]),
    ok("A3.2 measurement: quotes stay", b"\"m\" f=1", &[r#""\"m\"" f=1.0"#]),
    ok("A3.2 measurement: like a number with suffix", b"-1i f=1", &["-1i f=1.0"]),
    ok("A3.2 # inside and at the end, slashes, dots", b"a#b#/c..d f=1", &["a#b#/c..d f=1.0"]),
    ok("A3.2 every control byte but LF", b"\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f f=1", &[r#""\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\u{b}\u{c}\u{e}\u{f}\u{10}\u{11}\u{12}\u{13}\u{14}\u{15}\u{16}\u{17}\u{18}\u{19}\u{1a}\u{1b}\u{1c}\u{1d}\u{1e}\u{1f}\u{7f}" f=1.0"#]),
    ok("A3.2 tab and equal signs", b"a\tb==c f=1", &[r#""a\tb==c" f=1.0"#]),
    // ---- A3.3 measurement: names without meaning
    ok("A3.3 measurement: underscore, time, digits", b"_m f=1\ntime f=1\n1 f=1", &["_m f=1.0", "2|time f=1.0", "3|1 f=1.0"]),
    ok("A3.3 names of InfluxDB's own", b"_field f=1\n_measurement f=1\n_internal f=1\ntrue f=1", &["_field f=1.0", "2|_measurement f=1.0", "3|_internal f=1.0", "4|true f=1.0"]),
];
