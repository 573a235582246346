//! Bodies (in nanoseconds) too long for a table, written as pieces and how often each stands there.

use ringest::line::grammar::ErrorKind::{self, *};

pub type Pieces = &'static [(&'static str, usize)];

/// Name, body, and the one error of line 1, if it is one.
#[rustfmt::skip]
pub const PIECES: &[(&str, Pieces, Option<ErrorKind>)] = &[
    ("A1.4 leading spaces do not count", &[(" ", 70_000), ("m f=1", 1)], None),
    ("A1.5 very wide gaps", &[("m", 1), (" ", 70_000), ("f=1", 1), (" ", 70_000), ("5", 1), (" ", 70_000)], None),
    ("A1.7 very long comment", &[("# ", 1), ("a=\"b,", 100_000), ("\nm f=1", 1)], None),
    ("A2.10 a million backslashes", &[("m f=\"", 1), ("\\", 1 << 20), ("\"", 1)], None),
    ("A6.1 string of many LF", &[("m f=\"", 1), ("\n", 100_000), ("\" 5", 1)], None),
    ("A6.3 longest string", &[("m f=\"", 1), ("n", 1 << 20), ("\",g=1 5", 1)], None),
    ("A6.3 string too long by one byte", &[("m f=\"", 1), ("n", (1 << 20) + 1), ("\",g=1 5\nm g=2 6", 1)], None),
    ("A6.3 bytes are counted after unescaping", &[("m f=\"", 1), ("\\\"", 1 << 20), ("\" 5", 1)], None),
    ("A6.3 bytes are counted, not characters", &[("m f=\"", 1), ("é", (1 << 19) + 1), ("\" 5", 1)], None),
    ("A6.4 integer of many zeros", &[("m f=", 1), ("0", 100_000), ("1i 5", 1)], None),
    ("A6.5 integer of many nines", &[("m f=", 1), ("9", 100_000), ("i 5", 1)], Some(IntegerOutOfRange)),
    ("A6.6 unsigned of many zeros", &[("m f=", 1), ("0", 100_000), ("1u 5", 1)], None),
    ("A6.8 float of many zeros behind the point", &[("m f=0.", 1), ("0", 100_000), ("1 5", 1)], None),
    ("A6.8 float of many zeros before the point", &[("m f=", 1), ("0", 100_000), ("1.5 5", 1)], None),
    ("A6.8 float of many digits", &[("m f=1.", 1), ("5", 100_000), (" 5", 1)], None),
    ("A6.8 float of many digits beyond the range", &[("m f=1", 1), ("5", 100_000), (" 5", 1)], Some(FloatOutOfRange)),
    ("A7.1 timestamp of many zeros", &[("m f=1 ", 1), ("0", 100_000), ("5", 1)], None),
    ("A7.3 timestamp of many nines", &[("m f=1 -", 1), ("9", 100_000)], Some(TimeOutOfRange)),
    ("A8.4 measurement alone is as long as a field lets it", &[("n", 65_530), (" f=1", 1)], None),
    ("A8.4 longest key, too long with its field", &[("n", 65_531), (" f=1", 1)], Some(KeyTooLong(65_536))),
    ("A8.4 key that no field can follow", &[("n", 65_535), (" f=1", 1)], Some(KeyTooLong(65_540))),
    ("A8.4 key too long", &[("n", 65_536), (" f=1", 1)], Some(KeyTooLong(65_536))),
    ("A8.4 longest tag value", &[("m,t=", 1), ("n", 65_526), (" f=1", 1)], None),
    ("A8.4 key too long, tags counted", &[("m,t=", 1), ("n", 65_532), (" f=1", 1)], Some(KeyTooLong(65_536))),
    ("A8.4 escapes count", &[("\\,", 32_768), (" f=1", 1)], Some(KeyTooLong(65_536))),
    ("A8.4 bytes count, not characters", &[("é", 32_768), (" f=1", 1)], Some(KeyTooLong(65_536))),
    ("A8.4 longest field key", &[("m ", 1), ("n", 65_530), ("=1", 1)], None),
    ("A8.4 field key too long", &[("m ", 1), ("n", 65_531), ("=1", 1)], Some(KeyTooLong(65_536))),
    ("A8.4 escapes of a field key count", &[("m \\=", 1), ("n", 65_529), ("=1", 1)], Some(KeyTooLong(65_536))),
    ("A8.4 second field key too long", &[("m f=1,", 1), ("n", 65_531), ("=1", 1)], Some(KeyTooLong(65_536))),
    ("A9.2 bad value goes before a later long key", &[("m f=x,", 1), ("n", 65_531), ("=1", 1)], Some(InvalidBoolean)),
    ("A9.2 long field key goes before its value", &[("m ", 1), ("n", 70_000), ("=x", 1)], Some(KeyTooLong(70_005))),
    ("A9.2 a missing = goes before the length of the field key", &[("m ", 1), ("n", 70_000)], Some(InvalidFieldFormat)),
    ("A9.2 key too long goes before missing fields", &[("n", 65_536)], Some(KeyTooLong(65_536))),
    ("A9.2 longest key without fields", &[("n", 65_535)], Some(MissingFields)),
    ("A9.2 bad shape goes before the length", &[("n", 70_000), (",t f=1", 1)], Some(MissingTagValue)),
    ("A9.2 duplicates go before the length", &[("n", 70_000), (",t=1,t=2 f=1", 1)], Some(DuplicateTag)),
    ("A9.2 reserved goes before the length", &[("n", 70_000), (",time=1 f=1", 1)], Some(ReservedTagKey("time"))),
    ("A9.4 a long bad line is cut", &[("m f=", 1), ("x", 70_000)], Some(InvalidBoolean)),
    ("A9.4 it is cut between characters", &[("m f=", 1), ("日", 30_000)], Some(InvalidBoolean)),
];

/// Name, body, and the one error of line 1, if it is one: [`PIECES`], and bodies whose pieces are all different.
pub fn long_bodies() -> Vec<(&'static str, Vec<u8>, Option<ErrorKind>)> {
    let mut bodies: Vec<_> = PIECES.iter().map(|(name, pieces, error)| (*name, joined(pieces), *error)).collect();
    let tags: String = (0..5_000).map(|number| format!(",t{number}=v{number}")).collect();
    bodies.push(("A8.5 many tags", format!("m{tags} f=1 5").into_bytes(), None));
    let fields: String = (0..50_000).map(|number| format!(",f{number}={number}i")).collect();
    bodies.push(("A8.5 many fields", format!("m f=1{fields} 5").into_bytes(), None));
    bodies
}

fn joined(pieces: Pieces) -> Vec<u8> {
    pieces.iter().flat_map(|(text, times)| text.repeat(*times).into_bytes()).collect()
}
