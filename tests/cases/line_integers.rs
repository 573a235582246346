//! Integers and timestamps, through the whole parser on every kernel: exact to their limits.

use ringest::line::grammar::{ErrorKind, Precision, TIME_NS_MAX, TIME_NS_MIN};
use ringest::line::naive::Value;
use ringest::line::{Kernel, Outcome};

use crate::fuzzed::line::points;

const UNITS: [Precision; 6] = [
    Precision::Nanosecond,
    Precision::Microsecond,
    Precision::Millisecond,
    Precision::Second,
    Precision::Minute,
    Precision::Hour,
];

/// One line on every kernel: the point's first value and its time, or the error.
fn read(line: &str, precision: Precision) -> Result<(Value, i64), ErrorKind> {
    let read = |kernel| match points(line.as_bytes(), precision, kernel) {
        (Outcome::Complete { points: 1 }, points) => {
            Ok((points[0].fields[0].1.clone(), points[0].time.expect("every point has a time")))
        }
        (Outcome::Bad { errors, more: false }, _) if errors.len() == 1 => Err(errors[0].kind),
        (outcome, _) => panic!("{outcome:?} of {line}"),
    };
    let mut all = Kernel::available().into_iter().map(read);
    let first = all.next().expect("there is a kernel");
    assert!(all.all(|other| other == first), "kernels disagree about {line}");
    first
}

/// Numbers at which something changes: digits, bits, limits.
fn landmarks() -> Vec<i128> {
    let tens = (0..=21).map(|digits| 10i128.pow(digits));
    let twos = [7, 8, 15, 16, 31, 32, 53, 62, 63, 64, 65].map(|bits| 1i128 << bits);
    let limits = UNITS.map(|unit| i128::from(TIME_NS_MAX / unit.nanoseconds()));
    let mixed = (1..=21).map(|digits| 1_234_567_890_123_456_789_012 / 10i128.pow(21 - digits));
    let marks = tens.chain(twos).chain(limits).chain(mixed).flat_map(|mark| mark - 3..=mark + 3);
    marks.chain([0]).flat_map(|mark| [mark, -mark]).collect()
}

/// How a number may be written: with zeros in front, too.
fn spellings(number: i128) -> Vec<String> {
    let (sign, digits) = (if number < 0 { "-" } else { "" }, number.unsigned_abs().to_string());
    [0, 1, 7, 8, 16, 40].iter().map(|zeros| format!("{sign}{}{digits}", "0".repeat(*zeros))).collect()
}

const BEHIND: [&str; 5] = ["", " ", ",g=1", "\r\n", "\n"];

#[test]
fn integers() {
    for number in landmarks() {
        let want = i64::try_from(number).map(Value::Integer).map_err(|_| ErrorKind::IntegerOutOfRange);
        for text in spellings(number) {
            for behind in BEHIND {
                let got = read(&format!("m f={text}i{behind}"), Precision::Nanosecond).map(|(value, _)| value);
                assert_eq!(got, want, "{text}");
            }
        }
    }
}

#[test]
fn unsigned_integers() {
    for number in landmarks() {
        let want = u64::try_from(number).map(Value::Unsigned).map_err(|_| ErrorKind::UnsignedOutOfRange);
        for text in spellings(number) {
            // A minus is never part of one.
            let want = if text.starts_with('-') { Err(ErrorKind::InvalidNumber) } else { want.clone() };
            for behind in BEHIND {
                let got = read(&format!("m f={text}u{behind}"), Precision::Nanosecond).map(|(value, _)| value);
                assert_eq!(got, want, "{text}");
            }
        }
    }
    assert_eq!(read("m f=-0u", Precision::Nanosecond), Err(ErrorKind::InvalidNumber));
}

/// Integers without a suffix are floats, rounded once.
#[test]
fn integers_without_suffix() {
    for number in landmarks() {
        for text in spellings(number) {
            let negative_zero = text.starts_with('-') && number == 0;
            let want = if negative_zero { -0.0 } else { number as f64 };
            let got = read(&format!("m f={text}"), Precision::Nanosecond).map(|(value, _)| value);
            let Ok(Value::Float(got)) = got else { panic!("{got:?} of {text}") };
            assert_eq!(got.to_bits(), want.to_bits(), "{text}");
        }
    }
}

#[test]
fn timestamps_in_every_precision() {
    for precision in UNITS {
        for number in landmarks() {
            let ns = number * i128::from(precision.nanoseconds());
            let fits = (i128::from(TIME_NS_MIN)..=i128::from(TIME_NS_MAX)).contains(&ns);
            let want = if fits { Ok(ns as i64) } else { Err(ErrorKind::TimeOutOfRange) };
            for text in spellings(number) {
                for behind in ["", "   ", "\r\n", "\n"] {
                    let got = read(&format!("m f=1 {text}{behind}"), precision).map(|(_, time)| time);
                    assert_eq!(got, want, "{text} in {precision:?}");
                }
            }
        }
    }
}

/// Products that wrap around to something that looks like a time.
#[test]
fn timestamps_that_wrap() {
    for precision in UNITS.into_iter().skip(1) {
        let unit = i128::from(precision.nanoseconds());
        for wraps in 1..40 {
            for beside in -2..=2 {
                let number = ((wraps << 64) + unit - 1) / unit + beside;
                if i64::try_from(number).is_err() {
                    continue;
                }
                let got = read(&format!("m f=1 {number}"), precision);
                assert_eq!(got, Err(ErrorKind::TimeOutOfRange), "{number} in {precision:?}");
            }
        }
    }
}
