//! Exact arithmetic on decimals and doubles: natural numbers of any size, and what a decimal rounds to.

use std::cmp::Ordering;

/// A natural number, in limbs of 32 bits, the lowest first, without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Natural(Vec<u32>);

impl Natural {
    pub fn new(value: u64) -> Self {
        let mut natural = Self(vec![value as u32, (value >> 32) as u32]);
        natural.trim();
        natural
    }

    /// From decimal digits.
    pub fn from_digits(digits: &str) -> Self {
        let mut natural = Self(Vec::new());
        for chunk in digits.as_bytes().chunks(9) {
            let value = chunk.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
            natural.multiply_add(10u32.pow(chunk.len() as u32), value);
        }
        natural
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.0 {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    pub fn times_power_of_five(mut self, exponent: u32) -> Self {
        const STEP: u32 = 13;
        for _ in 0..exponent / STEP {
            self.multiply_add(5u32.pow(STEP), 0);
        }
        self.multiply_add(5u32.pow(exponent % STEP), 0);
        self
    }

    pub fn times_power_of_two(mut self, exponent: u32) -> Self {
        if !self.0.is_empty() {
            self.multiply_add(1 << (exponent % 32), 0);
            self.0.splice(0..0, vec![0; (exponent / 32) as usize]);
        }
        self
    }

    pub fn to_digits(&self) -> String {
        let mut rest = self.clone();
        let mut chunks = Vec::new();
        while !rest.0.is_empty() {
            let mut remainder = 0;
            for limb in rest.0.iter_mut().rev() {
                let value = remainder << 32 | u64::from(*limb);
                *limb = (value / 1_000_000_000) as u32;
                remainder = value % 1_000_000_000;
            }
            chunks.push(remainder);
            rest.trim();
        }
        let Some(first) = chunks.pop() else { return "0".into() };
        chunks.iter().rev().fold(first.to_string(), |digits, chunk| format!("{digits}{chunk:09}"))
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `mantissa * 2^exponent`.
#[derive(Clone, Copy, Debug)]
pub struct Binary {
    pub mantissa: u64,
    pub exponent: i32,
}

impl Binary {
    /// A double that is neither negative nor infinite, with the mantissa that its format gives it.
    pub fn of(float: f64) -> Self {
        let bits = float.to_bits();
        let (biased, fraction) = ((bits >> 52) as i32, bits & ((1 << 52) - 1));
        match biased {
            0 => Self { mantissa: fraction, exponent: -1074 },
            _ => Self { mantissa: fraction | 1 << 52, exponent: biased - 1075 },
        }
    }

    /// Halfway between this double and the next larger one (which for the largest is 2^1024).
    pub fn halfway_up(self) -> Self {
        Self { mantissa: 2 * self.mantissa + 1, exponent: self.exponent - 1 }
    }

    /// All digits.
    pub fn to_decimal(self) -> String {
        let natural = Natural::new(self.mantissa);
        if self.exponent >= 0 {
            return natural.times_power_of_two(self.exponent as u32).to_digits();
        }
        let decimals = -self.exponent as usize;
        let digits = natural.times_power_of_five(decimals as u32).to_digits();
        let digits = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        format!("{whole}.{fraction}")
    }
}

/// Compares a decimal (as line protocol writes floats, without sign) with a binary number.
fn compare(decimal: &str, binary: Binary) -> Ordering {
    let (mantissa, exponent) = decimal.split_once(['e', 'E']).unwrap_or((decimal, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.parse::<i32>().unwrap() - fraction.len() as i32;
    let mut decimal = Natural::from_digits(&format!("{whole}{fraction}"));
    let mut binary_mantissa = Natural::new(binary.mantissa);
    match exponent {
        0.. => decimal = decimal.times_power_of_five(exponent as u32),
        _ => binary_mantissa = binary_mantissa.times_power_of_five(exponent.unsigned_abs()),
    }
    // What is left are powers of two.
    match exponent - binary.exponent {
        more @ 0.. => decimal = decimal.times_power_of_two(more as u32),
        less => binary_mantissa = binary_mantissa.times_power_of_two(less.unsigned_abs()),
    }
    decimal.cmp(&binary_mantissa)
}

/// Whether `float` (which may be infinite) is the double nearest to `decimal`, halfway cases going to the even one. Both without sign.
pub fn is_nearest(decimal: &str, float: f64) -> bool {
    let even = |float: f64| float.to_bits().is_multiple_of(2);
    let not_above = float == f64::INFINITY
        || match compare(decimal, Binary::of(float).halfway_up()) {
            Ordering::Less => true,
            Ordering::Equal => even(float),
            Ordering::Greater => false,
        };
    let not_below = float == 0.0
        || match compare(decimal, Binary::of(float.next_down()).halfway_up()) {
            Ordering::Greater => true,
            Ordering::Equal => even(float),
            Ordering::Less => false,
        };
    not_above && not_below
}

#[test]
fn naturals_know_their_digits() {
    let digits = "123456789012345678901234567890123456789012345678901234567890";
    assert_eq!(Natural::from_digits(digits).to_digits(), digits);
    assert_eq!(Natural::new(1).times_power_of_two(100).to_digits(), "1267650600228229401496703205376");
    assert_eq!(Natural::new(1).times_power_of_five(40).to_digits(), "9094947017729282379150390625");
    assert_eq!(Natural::from_digits("000").to_digits(), "0");
    assert!(Natural::from_digits("4294967296") > Natural::new(u64::from(u32::MAX)));
}

#[test]
fn the_nearest_double_is_told_from_its_neighbours() {
    assert_eq!(Binary::of(1.0).halfway_up().to_decimal(), "1.00000000000000011102230246251565404236316680908203125");
    assert_eq!(Binary::of(2f64.powi(53)).halfway_up().to_decimal(), "9007199254740993");
    for (decimal, float) in [("0.1", 0.1), ("9007199254740993", 9007199254740992.0), ("5e-324", 5e-324), ("0", 0.0)] {
        assert!(is_nearest(decimal, float), "{decimal}");
        assert!(!is_nearest(decimal, float.next_up()), "{decimal}");
        assert!(float == 0.0 || !is_nearest(decimal, float.next_down()), "{decimal}");
    }
    assert!(is_nearest("1.8e308", f64::INFINITY) && !is_nearest("1.8e308", f64::MAX));
    assert!(is_nearest("1.7976931348623158e308", f64::MAX) && !is_nearest("1.7976931348623158e308", f64::INFINITY));
}
