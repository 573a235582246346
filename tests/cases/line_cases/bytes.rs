//! Bytes, and what is said of bad lines.

use super::{Case, bad, both, ok};
use ringest::line::grammar::ErrorKind::*;

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    // ---- A8.1 bytes: UTF-8
    ok("A8.1 bytes: not ASCII everywhere", "é,日=本 𝄞=1".as_bytes(), &[r#""é"["日"="本"] "𝄞"=1.0"#]),
    ok("A8.1 bytes: the last code point", b"\xf4\x8f\xbf\xbf f=1", &[r#""\u{10ffff}" f=1.0"#]),
    bad("A8.1 bytes: bad in measurement", b"m\xff f=1", &[(1, InvalidUtf8)]),
    bad("A8.1 bytes: bad in tags", b"m,\xff=v f=1\nm,t=\xfe f=1", &[(1, InvalidUtf8), (2, InvalidUtf8)]),
    bad("A8.1 bytes: bad in field key, string and number", b"m \x80=1\nm f=\"\xc3\"\nm f=1\xa0", &[(1, InvalidUtf8), (2, InvalidUtf8), (3, InvalidUtf8)]),
    bad("A8.1 bytes: bad in timestamp", b"m f=1 5\xff", &[(1, InvalidUtf8)]),
    bad("A8.1 bytes: overlong", b"m\xc0\x80 f=1\nm\xe0\x80\xaf f=1", &[(1, InvalidUtf8), (2, InvalidUtf8)]),
    bad("A8.1 bytes: surrogate", b"m\xed\xa0\x80 f=1", &[(1, InvalidUtf8)]),
    bad("A8.1 bytes: beyond Unicode", b"m\xf4\x90\x80\x80 f=1", &[(1, InvalidUtf8)]),
    bad("A8.1 bytes: cut off by the line's end", b"m,t=\xe6\x97\n\xa5 f=1", &[(1, InvalidUtf8), (2, InvalidUtf8)]),
    bad("A8.1 bytes: bad behind an unterminated string", b"m f=\"a\nb \xff\nn f=1", &[(1, InvalidUtf8)]),
    both("A8.1 bytes: only the line that holds them", b"m f=1\nm\xff f=1\nm f=2", &["m f=1.0", "3|m f=2.0"], &[(2, InvalidUtf8)]),
    both("A8.1 bytes: bad in text behind a point", b"m f=1 5 \xff\nm f=1 \xc3\xa9\nm f=2", &["3|m f=2.0"], &[(1, InvalidUtf8), (2, BadTimestamp)]),
    bad("A8.1 bad in the second of three strings", b"m a=\"x\",b=\"\xe9\",c=\"y\"", &[(1, InvalidUtf8)]),
    bad("A8.1 continuation byte first, sequence cut at the end of the body", b"\x80m f=1\nm f=\"x\xf0\x9d\x84", &[(1, InvalidUtf8), (2, InvalidUtf8)]),
    bad("A8.1 bad far behind the start of a line", b"m f=\"0123456789012345678901234567890123456789012345678901234567890123456789\xff\"", &[(1, InvalidUtf8)]),
    ok("A8.1 bad bytes in a comment between points", b"m f=1 1\n# \xff\nm f=2 2\n#\x80", &["m f=1.0 @1", "3|m f=2.0 @2"]),
    ok("A8.1 sequences of two, three and four bytes at the edges of their ranges", b"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80 f=1", &[r#""\u{80}߿ࠀ\u{d7ff}\u{e000}\u{ffff}𐀀" f=1.0"#]),
    // ---- A8.2 bytes: NUL and control bytes
    ok("A8.2 tag with CR, NUL and control bytes", b"m,a\0=\x01\r f=1", &[r#"m["a\0"="\u{1}\r"] f=1.0"#]),
    ok("A8.2 string: NUL and control bytes", b"m f=\"\0\x01\x7f\"", &[r#"m f="\0\u{1}\u{7f}""#]),
    ok("A8.2 NUL everywhere", b"\0,a\0=\0 \0=\"\0\"", &[r#""\0"["a\0"="\0"] "\0"="\0""#]),
    ok("A8.2 NUL cuts nothing off", b"a\0b,t\0u=v\0w f\0g=\"x\0y\" 5", &[r#""a\0b"["t\0u"="v\0w"] "f\0g"="x\0y" @5"#]),
    bad("A8.2 NUL in a number, a boolean, a timestamp", b"m f=1\0\nm f=t\0\nm f=1 5\0\nm f=\0", &[(1, InvalidNumber), (2, InvalidBoolean), (3, BadTimestamp), (4, InvalidBoolean)]),
    // ---- A8.3 bytes: nothing is decoded or folded
    ok("A8.3 bytes: wide spaces are data", "m\u{a0}x,t=\u{3000} f\u{200b}=1".as_bytes(), &[r#""m\u{a0}x"[t="\u{3000}"] "f\u{200b}"=1.0"#]),
    ok("A8.3 bytes: line separators of Unicode are data", "m\u{2028}x\u{85} f=1".as_bytes(), &[r#""m\u{2028}x\u{85}" f=1.0"#]),
    ok("A8.3 bytes: percent signs are data", b"m%20,t=%2C f=1", &["m%20[t=%2C] f=1.0"]),
    ok("A8.3 plus signs, ampersands, entities", b"a+b&c,t=&amp; f=\"%0A+\"", &[r#""a+b&c"[t="&amp;"] f="%0A+""#]),
    ok("A8.3 composed and decomposed letters differ", "é f=1 1\ne\u{301} f=2 1".as_bytes(), &[r#""é" f=1.0 @1"#, "2|\"e\\u{301}\" f=2.0 @1"]),
    // ---- A8.6 bytes: every string of them is judged
    bad("A8.6 equal signs and quotes that panic elsewhere", b"m k\\=\",\"=7,\"=\"", &[(1, InvalidFieldFormat)]),
    bad("A8.6 separators in every order", b"=,\" \\\n,=\"\n\"= ,\n\\,= \"\n", &[(1, MissingTagValue), (3, MissingFieldKey), (4, InvalidFieldFormat)]),
    bad("A8.6 a lone byte of each kind", b"\"\n=\n\\x\n0\n-\nt\n\0\n'", &[(1, MissingFields), (2, MissingFields), (3, MissingFields), (4, MissingFields), (5, MissingFields), (6, MissingFields), (7, MissingFields), (8, MissingFields)]),
    // ---- A8.7 bytes: LF is the only separator
    both("A8.7 semicolons separate nothing", b"m f=1;n f=2\nm;n f=1", &["2|m;n f=1.0"], &[(1, InvalidNumber)]),
    ok("A8.7 vertical tab, form feed, CR, U+2028 end no line", "a\u{b}b\u{c}c\u{2028}d\u{2029}e\rf f=1\nn f=2".as_bytes(), &[r#""a\u{b}b\u{c}c\u{2028}d\u{2029}e\rf" f=1.0"#, "2|n f=2.0"]),
    bad("A8.7 two points on one line", b"m f=1 5 m f=2 6\nm f=1,m f=2", &[(1, TextAfterPoint), (2, InvalidFieldFormat)]),
    ok("A8.7 backslash n is no LF", b"m\\nn f=\"1\\n2\"", &[r#""m\\nn" f="1\\n2""#]),
    // ---- A9.1 errors: one per bad line
    both("A9.1 errors on their own lines", b"m\n\n,t=v f=1\nm f=1\nm f=\"\n\"x\nm =1", &["4|m f=1.0"], &[(1, MissingFields), (3, MissingMeasurement), (5, TextAfterString), (7, MissingFieldKey)]),
    both("A9.1 good lines before, between and behind", b"m f=1 1\nbad\nm f=2 2\n,\nm f=3 3", &["m f=1.0 @1", "3|m f=2.0 @2", "5|m f=3.0 @3"], &[(2, MissingFields), (4, MissingMeasurement)]),
    both("A9.1 lines are counted over strings, comments and blank lines", b"\n# c\nm f=\"\n\n\"\r\n\r\n  bad\nm g=\"\\\"\n\",h=x\nbad", &[r#"3|m f="\n\n""#], &[(7, MissingFields), (8, InvalidBoolean), (10, MissingFields)]),
    both("A9.1 lines are counted over escaped LF", b"m\\\nx f=1\nbad\\\nworse\nbad", &[r#""m\\\nx" f=1.0"#], &[(3, MissingFields), (5, MissingFields)]),
    // ---- A9.2 errors: which of several is named
    bad("A9.2 tags are judged from the left", b"m,t=a=b,=c,u f=1", &[(1, InvalidTagFormat)]),
    bad("A9.2 tags are judged from the left, key first", b"m,=c,t=a=b f=1", &[(1, MissingTagKey)]),
    bad("A9.2 tags are judged from the left, value first", b"m,u,t=a=b f=1", &[(1, MissingTagValue)]),
    bad("A9.2 reserved tag: the first as written", b"m,z=1,time=1,_field=2 f=1", &[(1, ReservedTagKey("time"))]),
    bad("A9.2 shape goes before duplicates", b"m,t=a,t=b,u f=1", &[(1, MissingTagValue)]),
    bad("A9.2 duplicates go before reserved", b"m,time=1,t=a,t=b f=1", &[(1, DuplicateTag)]),
    bad("A9.2 reserved twice is a duplicate", b"m,time=1,time=2 f=1", &[(1, DuplicateTag)]),
    bad("A9.2 reserved goes before missing fields", b"m,time=1", &[(1, ReservedTagKey("time"))]),
    bad("A9.2 duplicates go before missing fields", b"m,t=a,t=b ", &[(1, DuplicateTag)]),
    bad("A9.2 fields are judged from the left", b"m f=x,=1,g=1.1.1", &[(1, InvalidBoolean)]),
    bad("A9.2 fields are judged from the left, key first", b"m =1,f=x", &[(1, MissingFieldKey)]),
    bad("A9.2 fields go before the timestamp", b"m f=1,g=x y z", &[(1, InvalidBoolean)]),
    bad("A9.2 timestamp: out of range goes before text behind", b"m f=1 9223372036854775807 6", &[(1, TimeOutOfRange)]),
    bad("A9.2 timestamp: bad goes before text behind", b"m f=1 x y", &[(1, BadTimestamp)]),
    bad("A9.2 bytes: go before the shape", b",\xff", &[(1, InvalidUtf8)]),
    bad("A9.2 UTF-8 goes before everything", b"m,t=a,t=b \xff", &[(1, InvalidUtf8)]),
    bad("A9.2 key before fields before timestamp", b"m,t f=x y\nm f=x y\nm f=1 y z", &[(1, MissingTagValue), (2, InvalidBoolean), (3, BadTimestamp)]),
];
