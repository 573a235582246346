//! Floats, through the whole parser on every kernel: the nearest double, to the bit.

use ringest::line::grammar::{ErrorKind, Precision};
use ringest::line::naive::{self, Value};
use ringest::line::{Kernel, Outcome};

use crate::exact::{Binary, is_nearest};
use crate::fuzzed::line::points;

/// What a float may stand between.
const PLACES: [(&str, &str); 5] =
    [("m f=", "\n"), ("m f=", " 5\n"), ("m f=", ",g=1 5\n"), ("m,t=a g=1,f=", "\r\n"), ("m f=-", " \n")];

/// Every kernel reads each of `texts` (without sign) as the double that the standard library makes of it, which must be nearest by exact
/// arithmetic too, where that is asked for.
fn check<'a>(texts: impl IntoIterator<Item = &'a str>, exactly: bool) {
    let (mut good, mut want, mut far) = (String::new(), Vec::new(), String::new());
    for text in texts {
        let float: f64 = text.parse().unwrap();
        assert!(!exactly || is_nearest(text, float), "the standard library makes {float:e} of {text}");
        for (before, behind) in PLACES {
            let body = if float.is_finite() { &mut good } else { &mut far };
            *body += &format!("{before}{text}{behind}");
            if float.is_finite() {
                want.push(if before.ends_with('-') { -float } else { float });
            }
        }
    }
    for kernel in Kernel::available() {
        let (outcome, points) = points(good.as_bytes(), Precision::Nanosecond, kernel);
        assert_eq!(outcome, Outcome::Complete { points: want.len() as u64 }, "{kernel:?}");
        for (number, (point, want)) in points.iter().zip(&want).enumerate() {
            let found = point.fields.iter().find(|(name, _)| name == "f");
            let Some((_, Value::Float(found))) = found else { panic!("{point:?}") };
            let line = || good.lines().nth(number).unwrap();
            assert_eq!(found.to_bits(), want.to_bits(), "{kernel:?}: {found:e}, not {want:e}: {}", line());
        }
    }
    check_far(&far);
    let parsed = naive::parse(good.as_bytes(), Precision::Nanosecond);
    assert_eq!((parsed.points.len(), parsed.errors.len()), (want.len(), 0));
}

/// All lines hold floats beyond the largest.
fn check_far(lines: &str) {
    for line in lines.split_inclusive('\n') {
        for kernel in Kernel::available() {
            let (outcome, _) = points(line.as_bytes(), Precision::Nanosecond, kernel);
            let Outcome::Bad { errors, more: false } = outcome else { panic!("{kernel:?}: {outcome:?} of {line}") };
            let kinds: Vec<ErrorKind> = errors.iter().map(|error| error.kind).collect();
            assert_eq!(kinds, [ErrorKind::FloatOutOfRange], "{kernel:?}: {line}");
        }
    }
}

/// The same sequence in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Any finite double without sign, each exponent as likely as another.
    fn float(&mut self) -> f64 {
        f64::from_bits(self.next() % f64::INFINITY.to_bits())
    }

    fn digits(&mut self, count: u64) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }
}

/// Hard cases that others have published: V. Paxson's stress tests ("A Program for Testing IEEE Decimal-Binary Conversion"), and inputs
/// at which parsers in PHP, Java, glibc, Visual C++, JavaScript engines, Rust and fast_float went wrong.
#[rustfmt::skip]
const PUBLISHED: &[&str] = &[
    "5e125", "69e267", "999e-26", "7861e-34", "75569e-254", "928609e-261", "9210917e80", "84863171e114", "653777767e273", "5232604057e-298",
    "27235667517e-109", "653532977297e-123", "3142213164987e-294", "46202199371337e-72", "231010996856685e-73", "9324754620109615e212",
    "78459735791271921e49", "272104041512242479e200", "6802601037806061975e198", "20505426358836677347e-221", "836168422905420598437e-234",
    "4891559871276714924261e222", "9e-265", "85e-37", "623e100", "3571e263", "81661e153", "920657e-23", "4603285e-24", "87575437e-309",
    "245540327e122", "6138508175e120", "83356057653e193", "619534293513e124", "2335141086879e218", "36167929443327e-159", "609610927149051e-255",
    "3743626360493413e-165", "94080055902682397e-242", "899810892172646163e283", "7120190517612959703e120", "25188282901709339043e-252",
    "308984926168550152811e-52", "6372891218502368041059e64",
    "2.2250738585072011e-308", "2.2250738585072012e-308", "2.2250738585072014e-308", "2.2250738585072009e-308", "2.225073858507201e-308",
    "2.2250738585072011360574097967091319759348195463516456480234261097248222220210769455165295239081350879141491589130396211068700864386945946455276572074078206217433799881410632673292535522868813721490129811224514518898490572223072852551331557550159143974763979834118019993239623482610171958663820812062e-308",
    "1.7976931348623157e308", "1.7976931348623158e308", "1.797693134862315700000000000000001e308", "17976931348623157e292", "0.17976931348623157e309",
    "1.7976931348623157580e308", "1.7976931348623158079372e308", "1.7976931348623158079373e308", "1.7976931348623159e308", "1e309", "1e400",
    "4.9406564584124654e-324", "4.9e-324", "5e-324", "3e-324", "2.5e-324", "2.4703282292062328e-324", "2.4703282292062327e-324", "2e-324", "1e-324", "1e-400",
    "9007199254740991", "9007199254740992", "9007199254740993", "9007199254740994", "9007199254740995", "9007199254740992.999999999999999999999999999999999",
    "9007199254740993.0", "9007199254740993.00000000000000000000000000000000000001", "9007199254740991.5", "9007199254740991.4999999999999999999999999999999995",
    "18014398509481985", "18014398509481983", "18014398509481984.5", "36028797018963969", "4503599627370497.5", "4503599627475353.5", "4503599627475352.5",
    "9223372036854775807", "9223372036854775808", "9223372036854775809", "18446744073709551615", "18446744073709551616", "18446744073709551617",
    "9999999999999999999", "10000000000000000000", "10000000000000000001", "99999999999999999999", "100000000000000000000000",
    "1e22", "1e23", "9e22", "1e21", "123456789e14", "9007199254740991e22", "9007199254740992e22", "9007199254740993e22", "1e-22", "1e-23",
    "0.1", "0.2", "0.3", "0.30000000000000004", "0.7", "1.1", "2.3", "8.41e21", "8.533e68", "4.1006e-184", "9.998e307", "9.9538452227e-280", "2.0919495182368195e19",
    "6.631236846766476e-316", "3.237883913302901e-319", "1.0e-310", "2.1e-320", "1.2345e-310", "8.10109172351e-10", "7.3177701707893310e15", "1.00000006e9",
    "0.500000000000000166533453693773481063544750213623046875", "0.50000000000000016656055874808561867439493653364479541778564453125",
    "3.518437208883201171875e13", "62.5364939768271845828", "1.50000000000000011102230246251565404236316680908203125",
    "1.50000000000000011102230246251565404236316680908203124", "1.50000000000000011102230246251565404236316680908203126",
    "1.00000000000000011102230246251565404236316680908203125", "1.00000000000000011102230246251565404236316680908203124", "1.00000000000000011102230246251565404236316680908203126",
    "1.00000000000000033306690738754696212708950042724609375", "0.000061094760894775390625", "1.1754941406275178592461758986628081843312458647327962400313859427181746759860647699724722770042717456817626953125e-38",
    "122416294033786585", "1448997445238699", "45035996.273704995", "45035996.273704985", "6250000000000000000000000000000000e-12", "3.5028234666e38",
    "2.638344616030823e-256", "9.5367431640625e-7", "104110013277974872254e-225", "12345e-320", "10.000000000000000000000000000000000000000000000000000000000001",
    "6.02214076e23", "1.602176634e-19", "6.62607015e-34", "3.14159265358979323846264338327950288", "2.71828182845904523536028747135266249",
];

#[test]
fn published_hard_cases() {
    check(PUBLISHED.iter().copied(), true);
    for (text, bits) in [
        ("2.2250738585072011e-308", 0x000f_ffff_ffff_ffff_u64),
        ("2.2250738585072012e-308", 0x0010_0000_0000_0000),
        ("1.7976931348623157e308", 0x7fef_ffff_ffff_ffff),
        ("4.9406564584124654e-324", 1),
        ("1e23", 0x44b5_2d02_c7e1_4af6),
        ("0.500000000000000166533453693773481063544750213623046875", 0x3fe0_0000_0000_0002),
        ("9007199254740993", 0x4340_0000_0000_0000),
    ] {
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{text}");
    }
}

/// Doubles around which something changes: subnormal, normal, one more bit, a power of ten, the largest.
fn landmarks() -> Vec<f64> {
    let mut marks = vec![0.0, f64::MIN_POSITIVE, f64::MAX, 0.1, 1.0, 10.0, 1e15, 1e16, 1e22, 1e23, 1e-22, 1e-23];
    marks.extend(
        [-1074, -1073, -1050, -1023, -1022, -1021, -60, -53, -1, 0, 1, 51, 52, 53, 54, 62, 63, 64, 1022, 1023].map(
            |two| {
                let bits = if two < -1022 { 1u64 << (two + 1074) } else { ((two + 1023) as u64) << 52 };
                f64::from_bits(bits)
            },
        ),
    );
    let beside = |mark: f64| [mark.next_down(), mark, mark.next_up()];
    marks.into_iter().flat_map(beside).filter(|mark| mark.is_finite() && *mark >= 0.0).collect()
}

/// The exact decimals halfway between doubles (up to 770 digits), and decimals just beside them.
#[test]
fn halfway_cases() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut floats = landmarks();
    floats.extend((0..1_000).map(|_| random.float()));
    // Of the size that sensors report, where parsers have their short cuts.
    floats.extend((0..1_000).map(|_| f64::from_bits((1023 - 20 + random.below(75)) << 52 | random.below(1 << 52))));
    let mut texts = Vec::new();
    for float in floats {
        let halfway = Binary::of(float).halfway_up().to_decimal();
        assert!(
            is_nearest(&halfway, if float.to_bits().is_multiple_of(2) { float } else { float.next_up() }),
            "{halfway}"
        );
        let pointed = if halfway.contains('.') { halfway.clone() } else { format!("{halfway}.") };
        texts.push(format!("{pointed}{}1", "0".repeat(random.below(900) as usize)));
        texts.push(format!("{pointed}{}", "0".repeat(random.below(900) as usize)));
        // The last digit other than 0 is a 5.
        let last = halfway.rfind(|digit| ('1'..='9').contains(&digit)).unwrap();
        texts.push(format!("{}4{}9", &pointed[..last], pointed[last + 1..].replace(|digit| digit != '.', "9")));
        // Cut off somewhere.
        let digits = pointed.trim_start_matches(['0', '.']).len();
        let start = pointed.len() - digits;
        let kept = start + (17 + random.below(60) as usize).min(digits);
        if pointed.find('.').unwrap() < kept {
            texts.push(pointed[..kept].to_owned());
        }
        texts.push(halfway);
    }
    check(texts.iter().map(String::as_str), true);
}

/// Random doubles as programs print them: shortest, 17 digits, more digits, all digits, with and without exponent.
#[test]
fn random_bits() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut texts = Vec::new();
    for number in 0..12_000 {
        let float = if number % 2 == 0 {
            random.float()
        } else {
            f64::from_bits((1023 - 30 + random.below(90)) << 52 | random.below(1 << 52))
        };
        texts.push(format!("{float:?}"));
        texts.push(format!("{float:e}"));
        texts.push(format!("{float:.16e}"));
        texts.push(format!("{float:.*e}", 17 + random.below(8) as usize));
        if number % 8 == 0 {
            texts.push(format!("{float}"));
            texts.push(format!("{float:.800e}"));
        }
        if (1e-5..1e17).contains(&float) {
            texts.push(format!("{float:.*}", random.below(24) as usize));
        }
    }
    check(texts.iter().map(String::as_str), false);
}

/// Random digits with a point anywhere: around the lengths at which a mantissa stops fitting in 53, 63 or 64 bits.
#[test]
fn random_digits() {
    let mut random = Random(0x0f1e_2d3c_4b5a_6978);
    let mut texts = Vec::new();
    for number in 0..40_000 {
        let count = 1 + random.below(if number % 10 == 0 { 40 } else { 22 });
        let mut text = random.digits(count);
        if random.below(4) > 0 {
            text.insert(random.below(count + 1) as usize, '.');
        }
        if random.below(4) == 0 {
            let exponent = random.below(if number % 3 == 0 { 700 } else { 60 }) as i64
                - 350 * i64::from(number % 3 == 0)
                - 30 * i64::from(number % 3 != 0);
            text += &format!("e{exponent}");
        }
        texts.push(text);
    }
    let (exact, quick) = texts.split_at(4_000);
    check(exact.iter().map(String::as_str), true);
    check(quick.iter().map(String::as_str), false);
}

/// Mantissas at the limits of 2^53, 2^63, 2^64 and 10^19, with every number of decimals.
#[test]
fn mantissas_at_their_limits() {
    let limits = [
        1u128 << 53,
        1 << 54,
        1 << 63,
        1 << 64,
        10u128.pow(15),
        10u128.pow(16),
        10u128.pow(17),
        10u128.pow(18),
        10u128.pow(19),
        10u128.pow(20),
    ];
    let mut texts = Vec::new();
    for limit in limits {
        for mantissa in limit - 3..=limit + 3 {
            for decimals in 0..=40 {
                let digits = format!("{mantissa:0>width$}", width = decimals + 1);
                let (whole, fraction) = digits.split_at(digits.len() - decimals);
                texts.push(format!("{whole}.{fraction}"));
                texts.push(format!("{mantissa}e-{decimals}"));
                texts.push(format!("{mantissa}e{decimals}"));
            }
        }
    }
    check(texts.iter().map(String::as_str), true);
}

/// Powers of ten with every exponent that matters, and far beyond.
#[test]
fn every_exponent() {
    let mut texts = Vec::new();
    for exponent in -360..=330 {
        for mantissa in ["1", "9", "1.5", "4.9", ".7", "123456789", "9007199254740993", "18446744073709551617"] {
            texts.push(format!("{mantissa}e{exponent}"));
            texts.push(format!("{mantissa}E{exponent:+05}"));
        }
    }
    check(texts.iter().map(String::as_str), true);
    let huge = [
        "400",
        "9999",
        "65535",
        "65536",
        "99999",
        "2147483647",
        "2147483648",
        "4294967296",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999999999",
    ];
    for exponent in huge {
        let (tiny, zeros) = (
            format!("1e-{exponent}"),
            [format!("0e{exponent}"), format!("0.000e-{exponent}"), format!("00E+{exponent}")],
        );
        check(std::iter::once(&*tiny).chain(zeros.iter().map(String::as_str)), false);
        check([&*format!("1e{exponent}"), &*format!("0.001e{exponent}"), &*format!("1.e+{exponent}")], false);
    }
}

/// Zeros in front and behind, made good by the exponent.
#[test]
fn long_zeros() {
    for zeros in
        [1, 7, 8, 9, 15, 16, 17, 18, 19, 20, 21, 31, 63, 64, 100, 307, 308, 309, 324, 400, 767, 768, 769, 800, 5_000]
    {
        let zero = "0".repeat(zeros);
        let texts = [
            format!("{zero}1.5"),
            format!("1.5{zero}"),
            format!("1{zero}e-{zeros}"),
            format!("0.{zero}15e{}", zeros + 1),
            format!("{zero}.{zero}25e{zeros}"),
            format!("123{zero}.{zero}456e-{zeros}"),
            zero.clone(),
            format!("{zero}.{zero}"),
            format!("{zero}e{zeros}"),
            format!("1.{zero}1"),
            format!("9007199254740993.{zero}"),
            format!("9007199254740993.{zero}1"),
        ];
        check(texts.iter().map(String::as_str), true);
    }
    let zero = "0".repeat(300_000);
    for text in [format!("1{zero}e-300000"), format!("0.{zero}1e300001"), format!("2.{zero}1"), format!("{zero}3")] {
        check([&*text], false);
        assert!((1.0..=3.0).contains(&text.parse::<f64>().unwrap()));
    }
}
