//! Line protocol: the terms, limits and errors that both parsers share (and all that they share).
//!
//! ```text
//! body  := line *( LF line )
//! line  := ws [ "#" comment | key SP ws field *( "," field ) [ SP ws timestamp ] *SP ] [ CR ]
//! key   := measurement *( "," tagkey "=" tagval )
//! field := fieldkey "=" value
//! ws    := *( SP | TAB )
//! ```
//!
//! # Lines
//! A line ends at an LF that is neither inside a quoted string nor (outside strings) directly preceded by a backslash. One CR directly
//! before that LF, or before the end of the body, belongs to the line end. A comment (first byte after `ws` is `#`) always ends at its
//! first LF. A line of `ws` alone is blank. Strings exist only after the line's first unescaped space, and a `"` opens one only when more
//! unquoted, unescaped `=` than `,` have been seen since that space; inside a string a backslash takes the next byte with it, outside
//! a byte is escaped when the byte right before it is a backslash (even an "escaped" one). An unterminated string reaches to the end of
//! the body.
//!
//! # Order of judgement
//! One error per line, the first of this list that applies, so that every parser names the same one:
//! 1. the line is not UTF-8: [`ErrorKind::InvalidUtf8`];
//! 2. the key's shape, from left to right (`MissingMeasurement`, `MissingTagKey`, `MissingTagValue`, `InvalidTagFormat`);
//! 3. `DuplicateTag`, then `ReservedTagKey` (the first such tag as written), then `KeyTooLong`;
//! 4. `MissingFields`;
//! 5. each field from left to right: its key (`MissingFieldKey`, `InvalidFieldFormat`, `KeyTooLong`), then its value;
//! 6. the timestamp (`BadTimestamp`, `TimeOutOfRange`), then `TextAfterPoint`.

use std::fmt;

/// Most bytes of `measurement[,tags]` as written, and of key + 4 + field key (InfluxDB v1 and v2).
pub const KEY_BYTES_MAX: usize = 65_535;

/// Most bytes of a string value after unescaping; a longer one drops its point (InfluxDB v1 and v2).
pub const STRING_BYTES_MAX: usize = 1 << 20;

/// Most bad lines of one body that an error answer lists.
pub const ERRORS_MAX: usize = 100;

/// Smallest and largest timestamp in nanoseconds (InfluxDB reserves the outermost values of an i64).
pub const TIME_NS_MIN: i64 = i64::MIN + 2;
pub const TIME_NS_MAX: i64 = i64::MAX - 1;

/// Tag keys that no point may use, compared with the key as written.
pub const RESERVED_TAG_KEYS: [&str; 4] = ["time", "_field", "_measurement", "\0"];

/// The unit of the timestamps of a body (`precision` parameter).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    #[default]
    Nanosecond,
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
}

impl Precision {
    /// What [`Self::named`] takes.
    pub const NAMES: &str = "n, ns, u, us, µs, ms, s, m and h";

    /// The unit as `/write` of InfluxDB 1.x spells it.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "n" | "ns" => Self::Nanosecond,
            "u" | "us" | "µs" | "μs" => Self::Microsecond,
            "ms" => Self::Millisecond,
            "s" => Self::Second,
            "m" => Self::Minute,
            "h" => Self::Hour,
            _ => return None,
        })
    }

    /// Nanoseconds of one unit.
    pub const fn nanoseconds(self) -> i64 {
        match self {
            Self::Nanosecond => 1,
            Self::Microsecond => 1_000,
            Self::Millisecond => 1_000_000,
            Self::Second => 1_000_000_000,
            Self::Minute => 60_000_000_000,
            Self::Hour => 3_600_000_000_000,
        }
    }

    /// `units` of this precision in nanoseconds, if InfluxDB's range holds it.
    pub fn scale(self, units: i64) -> Option<i64> {
        let ns = units.checked_mul(self.nanoseconds())?;
        (TIME_NS_MIN..=TIME_NS_MAX).contains(&ns).then_some(ns)
    }

    /// `ns` cut down to a whole unit (what a point without a timestamp gets).
    pub fn truncate(self, ns: i64) -> i64 {
        ns - ns.rem_euclid(self.nanoseconds())
    }
}

/// What is wrong with a line. The texts follow InfluxDB v2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The line is not UTF-8.
    InvalidUtf8,
    /// Nothing stands before the first comma or space.
    MissingMeasurement,
    /// A comma of the key is followed by a comma, an `=` or the end of the key.
    MissingTagKey,
    /// A tag has no unescaped `=`, or nothing after it.
    MissingTagValue,
    /// An unescaped `=` stands in a tag value.
    InvalidTagFormat,
    /// Two tags of one point have one key.
    DuplicateTag,
    /// A tag key is one of [`RESERVED_TAG_KEYS`].
    ReservedTagKey(&'static str),
    /// Key, or key + 4 + field key, has this many bytes: more than [`KEY_BYTES_MAX`].
    KeyTooLong(usize),
    /// Nothing follows the key.
    MissingFields,
    /// A field key is empty: `=` or `,` where a key should start, or nothing after a comma.
    MissingFieldKey,
    /// A space, a comma or the end of the line stands before a field's `=`.
    InvalidFieldFormat,
    /// A comma, a space or the end of the line stands right after a field's `=`.
    MissingFieldValue,
    /// A string is never closed.
    UnbalancedQuotes,
    /// Something other than a comma, a space or the end of the line follows a closing quote.
    TextAfterString,
    /// A value that starts like a number (`-`, `.`, digit) is none.
    InvalidNumber,
    /// An integer outside of i64.
    IntegerOutOfRange,
    /// An unsigned integer outside of u64.
    UnsignedOutOfRange,
    /// A float too large for a double.
    FloatOutOfRange,
    /// A value that starts like none is not one of the ten spellings of a boolean.
    InvalidBoolean,
    /// The text after the fields is not `-?[0-9]+`.
    BadTimestamp,
    /// The timestamp, in nanoseconds, is outside of [`TIME_NS_MIN`]..=[`TIME_NS_MAX`].
    TimeOutOfRange,
    /// Something follows the timestamp.
    TextAfterPoint,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::MissingMeasurement => "missing measurement",
            Self::MissingTagKey => "missing tag key",
            Self::MissingTagValue => "missing tag value",
            Self::InvalidTagFormat => "invalid tag format",
            Self::DuplicateTag => "duplicate tags",
            Self::ReservedTagKey(key) => return write!(f, "cannot use reserved tag key {key:?}"),
            Self::KeyTooLong(bytes) => return write!(f, "max key length exceeded: {bytes} > {KEY_BYTES_MAX}"),
            Self::MissingFields => "missing fields",
            Self::MissingFieldKey => "missing field key",
            Self::InvalidFieldFormat => "invalid field format",
            Self::MissingFieldValue => "missing field value",
            Self::UnbalancedQuotes => "unbalanced quotes",
            Self::TextAfterString => "invalid field format: text after the closing quote",
            Self::InvalidNumber => "invalid number",
            Self::IntegerOutOfRange => "unable to parse integer: value out of range",
            Self::UnsignedOutOfRange => "unable to parse unsigned: value out of range",
            Self::FloatOutOfRange => "invalid float: value out of range",
            Self::InvalidBoolean => "invalid boolean",
            Self::BadTimestamp => "bad timestamp",
            Self::TimeOutOfRange => return write!(f, "time outside range {TIME_NS_MIN} - {TIME_NS_MAX}"),
            Self::TextAfterPoint => "point is invalid: text after the timestamp",
        })
    }
}

/// A line that is not line protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineError {
    /// 1-based physical line on which the point starts (blank lines, comments and the inner lines of strings count).
    pub line: u64,
    /// Byte range of the line in the body, without leading spaces and tabs, line end and its CR.
    pub start: usize,
    pub end: usize,
    pub kind: ErrorKind,
}
