#![allow(clippy::unwrap_used)]

use super::super::naive::{self, Value};
use super::*;
use crate::line::scan::Swar;

/// What may stand behind a value.
const ENDS: [&str; 6] = ["", ",9", " 9", "\n9", "\r\n9", "\r"];

/// xorshift64*: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }
}

/// The reference parser's reading of a value without comma, space, line end or quote in it.
fn reference(token: &str) -> Result<Value, ErrorKind> {
    let mut parsed = naive::parse(format!("m f={token}").as_bytes(), Precision::Nanosecond);
    match parsed.points.pop() {
        Some(mut point) => Ok(point.fields.pop().unwrap().1),
        None => Err(parsed.errors[0].kind),
    }
}

/// The value at `from` of `text`; it must end at `to`.
fn value(text: &str, from: usize, to: usize) -> Result<Value, ErrorKind> {
    let mut bytes = text.as_bytes().to_vec();
    let body = Padded::from_vec(&mut bytes);
    let read = if matches!(body.at(from), b'-' | b'.' | b'0'..=b'9') {
        number(&body, from).map(|(number, end)| match number {
            Number::Float(float) => (Value::Float(float), end),
            Number::Integer(integer) => (Value::Integer(integer), end),
            Number::Unsigned(unsigned) => (Value::Unsigned(unsigned), end),
        })
    } else {
        boolean(&body, from).map(|(boolean, end)| (Value::Boolean(boolean), end))
    };
    read.map(|(value, end)| {
        assert_eq!(end, to, "the end of {text:?} from {from} on");
        value
    })
}

/// Equal to the bit, so that -0 is not 0.
fn same(a: &Result<Value, ErrorKind>, b: &Result<Value, ErrorKind>) -> bool {
    match (a, b) {
        (Ok(Value::Float(a)), Ok(Value::Float(b))) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

/// `token` is read as the reference reads it, whatever stands before and behind it.
fn agrees(token: &str) {
    let expected = reference(token);
    for end in ENDS {
        let text = format!("{token}{end}");
        let read = value(&text, 0, token.len());
        assert!(same(&read, &expected), "{text:?}: {read:?} instead of {expected:?}");
    }
    for before in [1, 7, 8, 9] {
        let text = format!("{}{token},777777777777777777777777777777777", "5".repeat(before));
        let read = value(&text, before, before + token.len());
        assert!(same(&read, &expected), "{text:?} from {before}: {read:?} instead of {expected:?}");
    }
}

fn read(text: &str) -> Result<Value, ErrorKind> {
    value(text, 0, text.len())
}

#[test]
fn every_count_of_digits_agrees_before_every_byte() {
    let mut random = Random(1);
    for count in 0..=35 {
        for sign in ["", "-"] {
            let digits = random.digits(count);
            let zeros = "0".repeat(count);
            for body in [digits, zeros] {
                // A value starts with one of these at least.
                let number = if sign.is_empty() && count == 0 { ".".to_owned() } else { format!("{sign}{body}") };
                agrees(&number);
                for byte in (0x21..0x7F).map(char::from).filter(|byte| !",\"\\".contains(*byte)) {
                    for tail in ["", "5", "55555555", "i", "-3", "e"] {
                        agrees(&format!("{number}{byte}{tail}"));
                    }
                }
            }
        }
    }
}

#[test]
fn every_place_of_the_point_and_every_exponent_agrees() {
    let mut random = Random(2);
    for whole in 0..=12 {
        for decimals in 0..=24 {
            for exponent in [
                "", "e5", "E-05", "e+007", "e-17", "e22", "e-300", "e299", "e-0330", "e0400", "e99999", "e", "e-",
                "e5.", "e5i",
            ] {
                let (before, behind) = (random.digits(whole), random.digits(decimals));
                let sign = if random.below(2) == 0 { "-" } else { "" };
                agrees(&format!("{sign}{before}.{behind}{exponent}"));
                agrees(&format!("{sign}0.{:0>decimals$}{exponent}", random.below(1_000)));
                if whole > 0 {
                    agrees(&format!("{before}{exponent}"));
                }
            }
        }
    }
}

#[test]
fn integers_reach_their_limits() {
    assert_eq!(read("9223372036854775807i"), Ok(Value::Integer(i64::MAX)));
    assert_eq!(read("-9223372036854775808i"), Ok(Value::Integer(i64::MIN)));
    assert_eq!(read("-9223372036854775809i"), Err(ErrorKind::IntegerOutOfRange));
    assert_eq!(read("9223372036854775808i"), Err(ErrorKind::IntegerOutOfRange));
    assert_eq!(read("0000000000000000000000000000012i"), Ok(Value::Integer(12)));
    assert_eq!(read("18446744073709551615u"), Ok(Value::Unsigned(u64::MAX)));
    assert_eq!(read("18446744073709551616u"), Err(ErrorKind::UnsignedOutOfRange));
    assert_eq!(read("-0u"), Err(ErrorKind::InvalidNumber));
}

#[test]
fn hard_floats_are_correctly_rounded() {
    for text in [
        "9007199254740993",
        "9007199254740992",
        "0.1",
        "123456789012345678.5",
        "18446744073709551616.5",
        "2.2250738585072011e-308",
        "1.7976931348623157e308",
        "5e-324",
        "2.4703282292062328e-324",
        "0.000000000000000000000000000000000000000000000000000001",
        "6.02214076e23",
        "-.5",
        "1.",
        "00000000000000000000000000.25",
        "179769313486231570000000000000000000000",
    ] {
        assert_eq!(read(text), Ok(Value::Float(text.parse().unwrap())), "{text}");
    }
    assert!(matches!(read("-0"), Ok(Value::Float(zero)) if zero.is_sign_negative()));
    assert!(matches!(read("-0.0"), Ok(Value::Float(zero)) if zero.is_sign_negative()));
    assert!(matches!(read("-1e-999"), Ok(Value::Float(zero)) if zero == 0.0 && zero.is_sign_negative()));
    assert_eq!(read("1e400"), Err(ErrorKind::FloatOutOfRange));
    for text in ["-", ".", "-.", "1e", "1e+", ".e1", "1.2.3", "0x1", "1_0", "1.0i", "1ii", "1ee1", "--1", "1\\"] {
        assert_eq!(read(text), Err(ErrorKind::InvalidNumber), "{text}");
    }
}

#[test]
fn random_doubles_are_read_as_the_standard_library_reads_them() {
    let mut random = Random(3);
    for round in 0..200_000 {
        let mut bits = random.next();
        if round % 2 == 0 {
            // Magnitudes as sensors have them: 2^-48 to 2^48.
            bits = bits & !(0x7FF << 52) | (1023 - 48 + random.below(96)) << 52;
        }
        let double = f64::from_bits(bits);
        if !double.is_finite() {
            continue;
        }
        let decimals = random.below(20) as usize;
        for text in [
            format!("{double}"),
            format!("{double:?}"),
            format!("{double:e}"),
            format!("{double:.16e}"),
            format!("{double:.18e}"),
            format!("{double:.decimals$}"),
        ] {
            let expected: f64 = text.parse().unwrap();
            let read = read(&text);
            assert!(matches!(read, Ok(Value::Float(read)) if read.to_bits() == expected.to_bits()), "{text}: {read:?}");
        }
    }
}

#[test]
fn timestamps_scale_and_stay_in_range() {
    let read = |text: &str, precision| {
        let mut bytes = text.as_bytes().to_vec();
        timestamp::<Swar>(&Padded::from_vec(&mut bytes), 0, precision).map(|(ns, _)| ns)
    };
    let ns = Precision::Nanosecond;
    assert_eq!(read("1793491200000000000", ns), Ok(1_793_491_200_000_000_000));
    assert_eq!(read("-1793491200000000000", ns), Ok(-1_793_491_200_000_000_000));
    assert_eq!(read("9223372036854775806", ns), Ok(i64::MAX - 1));
    assert_eq!(read("9223372036854775806\n", ns), Ok(i64::MAX - 1));
    assert_eq!(read("9223372036854775807", ns), Err(ErrorKind::TimeOutOfRange));
    assert_eq!(read("9223372036854775807\n", ns), Err(ErrorKind::TimeOutOfRange));
    assert_eq!(read("9999999999999999999\n", ns), Err(ErrorKind::TimeOutOfRange));
    assert_eq!(read("-9223372036854775806", ns), Ok(i64::MIN + 2));
    assert_eq!(read("-9223372036854775808", ns), Err(ErrorKind::TimeOutOfRange));
    assert_eq!(read("99999999999999999999999999", ns), Err(ErrorKind::TimeOutOfRange));
    assert_eq!(read("0000000000000000000000000000001", ns), Ok(1));
    assert_eq!(read("1793491200", Precision::Second), Ok(1_793_491_200_000_000_000));
    assert_eq!(read("9999999999\n", Precision::Second), Err(ErrorKind::TimeOutOfRange));
    assert_eq!(read("1793491200000", Precision::Second), Err(ErrorKind::TimeOutOfRange));
    for text in ["+1", "1.5", "1e3", "1i", "-", "1\t", "\"1\"", "2026-01-01T00:00:00Z"] {
        assert_eq!(read(text, ns), Err(ErrorKind::BadTimestamp), "{text}");
    }
}

#[test]
fn timestamps_of_every_length_agree_before_every_byte() {
    use Precision::{Hour, Microsecond, Millisecond, Minute, Nanosecond, Second};
    let mut random = Random(4);
    for count in 0..=34 {
        for round in 0..8 {
            let sign = if round % 2 == 0 { "" } else { "-" };
            let digits = if round < 6 { random.digits(count) } else { "0".repeat(count) };
            // Small enough to be in range now and then.
            let digits = if round < 2 { digits.replacen(|_| true, "1", 1) } else { digits };
            for behind in (0..=0x7F).map(|byte| char::from(byte).to_string()).chain(ENDS.map(str::to_owned)) {
                for precision in [Nanosecond, Microsecond, Millisecond, Second, Minute, Hour] {
                    timestamp_agrees(&format!("{sign}{digits}{behind}"), precision);
                }
            }
        }
    }
}

/// `text`, unless it starts with white space, is read as the reference reads its first word.
fn timestamp_agrees(text: &str, precision: Precision) {
    // What follows the timestamp is the caller's to judge.
    let word = text.split([' ', '\n']).next().unwrap();
    if word.trim_start_matches(['\t', '\r']).len() < word.len() || word.is_empty() {
        return;
    }
    let parsed = naive::parse(format!("m f=1 {word}").as_bytes(), precision);
    let expected = match parsed.errors.first() {
        Some(error) => Err(error.kind),
        None => Ok((parsed.points[0].time.unwrap(), word.trim_end_matches('\r').len())),
    };
    let mut bytes = text.as_bytes().to_vec();
    assert_eq!(timestamp::<Swar>(&Padded::from_vec(&mut bytes), 0, precision), expected, "{text:?} in {precision:?}");
}

#[test]
fn booleans_have_ten_spellings() {
    // All words of up to 5 of these letters, which hold every letter of the spellings and neighbours of some.
    let letters: Vec<char> = "trueTRUEfalsFALSxD".chars().collect();
    let mut words = vec![String::new()];
    let mut longer = words.clone();
    for _ in 0..4 {
        longer = longer.iter().flat_map(|word| letters.iter().map(move |letter| format!("{word}{letter}"))).collect();
        words.extend(longer.iter().cloned());
    }
    words.extend(longer.iter().flat_map(|word| ["e", "E"].map(|letter| format!("{word}{letter}"))));
    for word in words.iter().filter(|word| !word.is_empty()) {
        let expected = match word.as_str() {
            "t" | "T" | "true" | "True" | "TRUE" => Ok(Value::Boolean(true)),
            "f" | "F" | "false" | "False" | "FALSE" => Ok(Value::Boolean(false)),
            _ => Err(ErrorKind::InvalidBoolean),
        };
        assert_eq!(read(word), expected, "{word}");
    }
    for word in ["t", "F", "True", "FALSE", "trues", "tRUE", "tru", "falsy", "f\u{1f}", "\u{14}", "true\u{0}"] {
        agrees(word);
    }
}
