//! How bad lines are named: by the line as written, and by a reason.

/// Name, body of one bad line, and the reason that the answer gives for it.
#[rustfmt::skip]
pub const REASONS: &[(&str, &[u8], &str)] = &[
    ("A9.3 invalid UTF-8", b"m\xff f=1", "invalid UTF-8"),
    ("A9.3 missing measurement", b",t=v f=1", "missing measurement"),
    ("A9.3 missing tag key", b"m,=v f=1", "missing tag key"),
    ("A9.3 missing tag value", b"m,t= f=1", "missing tag value"),
    ("A9.3 invalid tag format", b"m,t=a=b f=1", "invalid tag format"),
    ("A9.3 duplicate tags", b"m,t=a,t=b f=1", "duplicate tags"),
    ("A9.3 reserved tag: time", b"m,time=a f=1", "cannot use reserved tag key \"time\""),
    ("A9.3 reserved tag: _field", b"m,_field=a f=1", "cannot use reserved tag key \"_field\""),
    ("A9.3 reserved tag: _measurement", b"m,_measurement=a f=1", "cannot use reserved tag key \"_measurement\""),
    ("A9.3 reserved tag: NUL", b"m,\0=a f=1", "cannot use reserved tag key \"\\0\""),
    ("A9.3 missing fields", b"m", "missing fields"),
    ("A9.3 missing field key", b"m =1", "missing field key"),
    ("A9.3 invalid field format", b"m f", "invalid field format"),
    ("A9.3 missing field value", b"m f=", "missing field value"),
    ("A9.3 unbalanced quotes", b"m f=\"a", "unbalanced quotes"),
    ("A9.3 text behind a string", b"m f=\"a\"b", "invalid field format: text after the closing quote"),
    ("A9.3 invalid number", b"m f=1x", "invalid number"),
    ("A9.3 integer out of range", b"m f=9223372036854775808i", "unable to parse integer: value out of range"),
    ("A9.3 unsigned out of range", b"m f=18446744073709551616u", "unable to parse unsigned: value out of range"),
    ("A9.3 float out of range", b"m f=1e309", "invalid float: value out of range"),
    ("A9.3 invalid boolean", b"m f=x", "invalid boolean"),
    ("A9.3 bad timestamp", b"m f=1 x", "bad timestamp"),
    ("A9.3 time out of range", b"m f=1 9223372036854775807", "time outside range -9223372036854775806 - 9223372036854775806"),
    ("A9.3 text behind a point", b"m f=1 5 x", "point is invalid: text after the timestamp"),
    ("A9.3 quotes and escapes are cited as they are", b"m,a\\ b='c' f=\"\\\"\",g=", "missing field value"),
];

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
