//! Timestamps.

use super::{Case, bad, ok};
use ringest::line::grammar::{ErrorKind::*, Precision::*};

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    // ---- A7.1 timestamps: how they are written
    bad("A7.1 space instead of comma", b"m f=1 g=2", &[(1, BadTimestamp)]),
    ok("A7.1 timestamp: zero, signs and zeros", b"m f=1 0\nm f=1 -0\nm f=1 007\nm f=1 -1", &["m f=1.0 @0", "2|m f=1.0 @0", "3|m f=1.0 @7", "4|m f=1.0 @-1"]),
    ok("A7.1 timestamp: many zeros", b"m f=1 0000000000000000000000000000000000001", &["m f=1.0 @1"]),
    bad("A7.1 timestamp: plus sign", b"m f=1 +5", &[(1, BadTimestamp)]),
    bad("A7.1 timestamp: fraction", b"m f=1 5.0", &[(1, BadTimestamp)]),
    bad("A7.1 timestamp: exponent", b"m f=1 5e3", &[(1, BadTimestamp)]),
    bad("A7.1 timestamp: suffix", b"m f=1 5i\nm f=1 5s", &[(1, BadTimestamp), (2, BadTimestamp)]),
    bad("A7.1 timestamp: minus alone", b"m f=1 -", &[(1, BadTimestamp)]),
    bad("A7.1 timestamp: two minus", b"m f=1 --5", &[(1, BadTimestamp)]),
    bad("A7.1 timestamp: quoted", b"m f=1 \"5\"", &[(1, BadTimestamp)]),
    bad("A7.1 timestamp: a date", b"m f=1 2026-11-01T00:00:00Z", &[(1, BadTimestamp)]),
    bad("A7.1 timestamp: comma behind", b"m f=1 5,g=2", &[(1, BadTimestamp)]),
    bad("A7.1 timestamp: comma alone", b"m f=1 ,", &[(1, BadTimestamp)]),
    ok("A7.1 every number of digits", b"m f=1 1\nm f=1 12\nm f=1 123\nm f=1 1234567\nm f=1 12345678\nm f=1 123456789\nm f=1 1234567890123456\nm f=1 12345678901234567\nm f=1 1234567890123456789\nm f=1 -1234567890123456789", &["m f=1.0 @1", "2|m f=1.0 @12", "3|m f=1.0 @123", "4|m f=1.0 @1234567", "5|m f=1.0 @12345678", "6|m f=1.0 @123456789", "7|m f=1.0 @1234567890123456", "8|m f=1.0 @12345678901234567", "9|m f=1.0 @1234567890123456789", "10|m f=1.0 @-1234567890123456789"]),
    bad("A7.1 other digits, hexadecimal, underscore", "m f=1 ١\nm f=1 0x5\nm f=1 1_0\nm f=1 1-1\nm f=1 5\\".as_bytes(), &[(1, BadTimestamp), (2, BadTimestamp), (3, BadTimestamp), (4, BadTimestamp), (5, BadTimestamp)]),
    bad("A7.1 a bad byte at each place of eight digits", b"m f=1 x2345678\nm f=1 1x345678\nm f=1 12x45678\nm f=1 123x5678\nm f=1 1234x678\nm f=1 12345x78\nm f=1 123456x8\nm f=1 1234567x", &[(1, BadTimestamp), (2, BadTimestamp), (3, BadTimestamp), (4, BadTimestamp), (5, BadTimestamp), (6, BadTimestamp), (7, BadTimestamp), (8, BadTimestamp)]),
    // ---- A7.2 timestamps: precision
    ok("A7.2 microseconds", b"m f=1 1\nm f=1 -1", &["m f=1.0 @1000", "2|m f=1.0 @-1000"]).in_units_of(Microsecond),
    ok("A7.2 milliseconds", b"m f=1 1730000000123", &["m f=1.0 @1730000000123000000"]).in_units_of(Millisecond),
    ok("A7.2 seconds", b"m f=1 1730000000\nm f=1 0", &["m f=1.0 @1730000000000000000", "2|m f=1.0 @0"]).in_units_of(Second),
    ok("A7.2 minutes", b"m f=1 1\nm f=1 -1", &["m f=1.0 @60000000000", "2|m f=1.0 @-60000000000"]).in_units_of(Minute),
    ok("A7.2 hours", b"m f=1 -1\nm f=1 1", &["m f=1.0 @-3600000000000", "2|m f=1.0 @3600000000000"]).in_units_of(Hour),
    bad("A7.2 nanoseconds given as seconds", b"m f=1 1730000000123456789", &[(1, TimeOutOfRange)]).in_units_of(Second),
    bad("A7.2 the product wraps to a small number", b"m f=1 18446744073709552", &[(1, TimeOutOfRange)]).in_units_of(Microsecond),
    bad("A7.2 the product wraps to a small number, in every unit", b"m f=1 18446744073709552000", &[(1, TimeOutOfRange)]).in_units_of(Millisecond),
    bad("A7.2 limits of i64 as hours", b"m f=1 9223372036854775807\nm f=1 -9223372036854775808", &[(1, TimeOutOfRange), (2, TimeOutOfRange)]).in_units_of(Hour),
    bad("A7.2 a bad one goes before the range", b"m f=1 99999999999999999999x", &[(1, BadTimestamp)]).in_units_of(Hour),
    // ---- A7.3 timestamps: range
    ok("A7.3 timestamp: limits", b"m f=1 9223372036854775806\nm f=1 -9223372036854775806", &["m f=1.0 @9223372036854775806", "2|m f=1.0 @-9223372036854775806"]),
    bad("A7.3 timestamp: largest i64", b"m f=1 9223372036854775807", &[(1, TimeOutOfRange)]),
    bad("A7.3 timestamp: smallest i64 and the next", b"m f=1 -9223372036854775808\nm f=1 -9223372036854775807", &[(1, TimeOutOfRange), (2, TimeOutOfRange)]),
    bad("A7.3 timestamp: beyond i64", b"m f=1 9223372036854775808\nm f=1 100000000000000000000", &[(1, TimeOutOfRange), (2, TimeOutOfRange)]),
    ok("A7.3 largest and smallest in microseconds", b"m f=1 9223372036854775\nm f=1 -9223372036854775", &["m f=1.0 @9223372036854775000", "2|m f=1.0 @-9223372036854775000"]).in_units_of(Microsecond),
    ok("A7.3 largest and smallest in milliseconds", b"m f=1 9223372036854\nm f=1 -9223372036854", &["m f=1.0 @9223372036854000000", "2|m f=1.0 @-9223372036854000000"]).in_units_of(Millisecond),
    ok("A7.3 largest and smallest in seconds", b"m f=1 9223372036\nm f=1 -9223372036", &["m f=1.0 @9223372036000000000", "2|m f=1.0 @-9223372036000000000"]).in_units_of(Second),
    ok("A7.3 largest and smallest in minutes", b"m f=1 153722867\nm f=1 -153722867", &["m f=1.0 @9223372020000000000", "2|m f=1.0 @-9223372020000000000"]).in_units_of(Minute),
    ok("A7.3 largest and smallest in hours", b"m f=1 2562047\nm f=1 -2562047", &["m f=1.0 @9223369200000000000", "2|m f=1.0 @-9223369200000000000"]).in_units_of(Hour),
    bad("A7.3 one microsecond too many", b"m f=1 9223372036854776\nm f=1 -9223372036854776", &[(1, TimeOutOfRange), (2, TimeOutOfRange)]).in_units_of(Microsecond),
    bad("A7.3 one millisecond too many", b"m f=1 9223372036855\nm f=1 -9223372036855", &[(1, TimeOutOfRange), (2, TimeOutOfRange)]).in_units_of(Millisecond),
    bad("A7.3 one second too many", b"m f=1 9223372037\nm f=1 -9223372037", &[(1, TimeOutOfRange), (2, TimeOutOfRange)]).in_units_of(Second),
    bad("A7.3 one minute too many", b"m f=1 153722868\nm f=1 -153722868", &[(1, TimeOutOfRange), (2, TimeOutOfRange)]).in_units_of(Minute),
    bad("A7.3 one hour too many", b"m f=1 2562048\nm f=1 -2562048", &[(1, TimeOutOfRange), (2, TimeOutOfRange)]).in_units_of(Hour),
    ok("A7.3 around 1970 and around days", b"m f=1 -1\nm f=1 -999\nm f=1 -1000\nm f=1 -86400000000000\nm f=1 -86400000000001\nm f=1 86399999999999", &["m f=1.0 @-1", "2|m f=1.0 @-999", "3|m f=1.0 @-1000", "4|m f=1.0 @-86400000000000", "5|m f=1.0 @-86400000000001", "6|m f=1.0 @86399999999999"]),
    // ---- A7.4 timestamps: none
    ok("A7.4 one time for all points without one", b"m,t=a f=1\nm,t=b f=2\nm,t=c f=3 5\nn f=4", &["m[t=a] f=1.0", "2|m[t=b] f=2.0", "3|m[t=c] f=3.0 @5", "4|n f=4.0"]),
    ok("A7.4 two points without a time are one", b"m,t=a f=1,g=1\nm,t=a f=2,h=1", &["m[t=a] f=1.0,g=1.0", "2|m[t=a] f=2.0,h=1.0"]),
    ok("A7.4 none, in microseconds", b"m f=1", &["m f=1.0"]).in_units_of(Microsecond),
    ok("A7.4 none, in milliseconds", b"m f=1", &["m f=1.0"]).in_units_of(Millisecond),
    ok("A7.4 none, in seconds", b"m f=1", &["m f=1.0"]).in_units_of(Second),
    ok("A7.4 none, in minutes", b"m f=1", &["m f=1.0"]).in_units_of(Minute),
    ok("A7.4 none, in hours", b"m f=1 ", &["m f=1.0"]).in_units_of(Hour),
    // ---- A7.5 timestamps: never guessed
    ok("A7.5 seconds, milliseconds and microseconds of today are nanoseconds", b"m f=1 1730000000\nm f=1 1730000000000\nm f=1 1730000000000000", &["m f=1.0 @1730000000", "2|m f=1.0 @1730000000000", "3|m f=1.0 @1730000000000000"]),
    ok("A7.5 microseconds of today as seconds stay seconds", b"m f=1 1730000", &["m f=1.0 @1730000000000000"]).in_units_of(Second),
    // ---- A7.6 timestamps: one at most
    bad("A7.6 timestamp: two of them", b"m f=1 5 6", &[(1, TextAfterPoint)]),
    bad("A7.6 text, a field, a comment behind", b"m f=1 5 x\nm f=1 5 g=2\nm f=1 5 #\nm f=1 5  6", &[(1, TextAfterPoint), (2, TextAfterPoint), (3, TextAfterPoint), (4, TextAfterPoint)]),
];
