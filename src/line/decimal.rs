//! Decimal to double, correctly rounded: D. Lemire, "Number parsing at a gigabyte per second", 2021.
//!
//! A short decimal is the quotient of two doubles that are exact. Any other is `mantissa * 10^power`, and 10^power is 5^power but for the
//! exponent of two. The 128-bit product of the mantissa and the top 64 bits of 5^power decides almost always how to round; the lower 64
//! bits of the power settle the rest.

/// The greatest power of five that 128 bits hold exactly; with it powers from 1e-55 to 1e55 are covered, all others are rare.
const POWER_MAX: i32 = 55;

/// 5^-55 to 5^55, the highest bit set: those of a positive power exact, the others rounded up, where 64 bits hold 5^-power, else down.
static POWERS_OF_FIVE: [(u64, u64); 2 * POWER_MAX as usize + 1] = powers_of_five();

const fn powers_of_five() -> [(u64, u64); 2 * POWER_MAX as usize + 1] {
    let mut powers = [(0, 0); 2 * POWER_MAX as usize + 1];
    let mut five = 1u128;
    let mut power = 0;
    while power <= POWER_MAX as usize {
        if power > 0 {
            powers[POWER_MAX as usize - power] = halves(reciprocal(five, power <= 27));
        }
        powers[POWER_MAX as usize + power] = halves(five << five.leading_zeros());
        five = five.wrapping_mul(5);
        power += 1;
    }
    powers
}

const fn halves(whole: u128) -> (u64, u64) {
    ((whole >> 64) as u64, whole as u64)
}

/// The first 128 bits of 1 / `five` by long division in base two; `five` is no power of two.
const fn reciprocal(five: u128, up: bool) -> u128 {
    // The greatest power of two below `five`, so that the first bit of the quotient comes out right away.
    let mut rest = 1u128 << (127 - five.leading_zeros());
    let mut quotient = 0u128;
    while quotient >> 127 == 0 {
        let carry = rest >> 127 == 1;
        rest <<= 1;
        quotient <<= 1;
        if carry || rest >= five {
            rest = rest.wrapping_sub(five);
            quotient |= 1;
        }
    }
    quotient + up as u128
}

/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Mantissas below (up to 14 digits) are divided (Clinger 1990): 8.6 ns instead of 10 to 13, for with them the rare cases of the products
/// are not rare. Up to 2^53 that would be exact, too, but full doubles have mantissas on both sides of that: 15 ns instead of 12 for the
/// wrong guesses.
const SHORT: u64 = 1 << 47;

/// `mantissa * 10^power` rounded to the nearest double, ties to even; `None` where this way does not tell.
#[inline(always)]
pub(super) fn double(mantissa: u64, power: i32) -> Option<f64> {
    if mantissa < SHORT && (-22..=0).contains(&power) {
        return Some(mantissa as i64 as f64 / EXACT_POWERS[(-power) as usize]);
    }
    let index = usize::try_from(power + POWER_MAX).ok()?;
    let &(high, low) = POWERS_OF_FIVE.get(index)?;
    if mantissa == 0 {
        return Some(0.0);
    }
    let zeros = mantissa.leading_zeros();
    let mantissa = mantissa << zeros;
    let product = u128::from(mantissa) * u128::from(high);
    let (mut upper, mut lower) = ((product >> 64) as u64, product as u64);
    // 55 bits settle the 53 of a double, unless those that follow could still carry into them.
    if upper & 0x1FF == 0x1FF {
        let carried;
        (lower, carried) = lower.overflowing_add(((u128::from(mantissa) * u128::from(low)) >> 64) as u64);
        upper += u64::from(carried);
        if lower == u64::MAX && power < -27 {
            return None;
        }
    }
    let top = (upper >> 63) as u32;
    let mut bits = upper >> (9 + top);
    // Halfway between two doubles, which only these powers can be: to the even one, so down if the last bit is even.
    if lower <= 1 && (-4..=23).contains(&power) && bits & 3 == 1 && bits << (9 + top) == upper {
        bits -= 1;
    }
    let rounded = (bits + 1) >> 1;
    // floor(power * log2(10)) and where the highest bit of the product stands; the bit above the 52 stored ones adds one to the exponent.
    let exponent = ((217_706 * power) >> 16) + 63 + top as i32 - zeros as i32 + 1023 - 1;
    Some(f64::from_bits(rounded + ((exponent as u64) << 52)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::cmp::Ordering;

    /// A whole number of any size, the lowest digit first.
    #[derive(Clone)]
    struct Big(Vec<u32>);

    impl Big {
        fn new(value: u64) -> Self {
            Self(vec![value as u32, (value >> 32) as u32])
        }

        fn times(mut self, factor: u32, count: u32) -> Self {
            for _ in 0..count {
                let mut carry = 0;
                for digit in &mut self.0 {
                    carry += u64::from(*digit) * u64::from(factor);
                    *digit = carry as u32;
                    carry >>= 32;
                }
                self.0.push(carry as u32);
            }
            self
        }

        fn compare(&self, other: &Self) -> Ordering {
            let digit = |big: &Self, at: usize| big.0.get(at).copied().unwrap_or(0);
            let length = self.0.len().max(other.0.len());
            (0..length)
                .rev()
                .map(|at| digit(self, at).cmp(&digit(other, at)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        }
    }

    /// Compares `mantissa * 10^power` with `quarters * 2^exponent / 4`.
    fn compare(mantissa: u64, power: i32, quarters: u64, exponent: i32) -> Ordering {
        let (twos, fives) = (power + 2 - exponent, power);
        let decimal = Big::new(mantissa).times(5, fives.max(0) as u32).times(2, twos.max(0) as u32);
        let binary = Big::new(quarters).times(5, (-fives).max(0) as u32).times(2, (-twos).max(0) as u32);
        decimal.compare(&binary)
    }

    /// `float`, a normal double, is the one nearest to `mantissa * 10^power`, or the even one of the two nearest.
    fn assert_nearest(mantissa: u64, power: i32, float: f64) {
        let bits = float.to_bits();
        let (whole, exponent) = (bits & ((1 << 52) - 1) | 1 << 52, (bits >> 52) as i32 - 1075);
        // The gap below a power of two is half as wide.
        let below = if whole == 1 << 52 { 1 } else { 2 };
        let low = compare(mantissa, power, 4 * whole - below, exponent);
        let high = compare(mantissa, power, 4 * whole + 2, exponent);
        let even = whole % 2 == 0;
        assert!(low.is_gt() || even && low.is_eq(), "{mantissa}e{power} is not {float:e}, but less");
        assert!(high.is_lt() || even && high.is_eq(), "{mantissa}e{power} is not {float:e}, but more");
    }

    /// xorshift64*: the same numbers on every machine.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    #[test]
    fn the_powers_are_the_nearest_above_or_below() {
        for power in -POWER_MAX..=POWER_MAX {
            let (high, low) = POWERS_OF_FIVE[(power + POWER_MAX) as usize];
            let five = Big::new(1).times(5, power.unsigned_abs());
            let entry = Big(vec![low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32]);
            assert_eq!(high >> 63, 1, "5^{power}");
            let bits = five.0.iter().rposition(|digit| *digit != 0).unwrap() as u32;
            let bits = 32 * bits + 32 - five.0[bits as usize].leading_zeros();
            if power >= 0 {
                assert!(entry.compare(&five.times(2, 128 - bits)).is_eq(), "5^{power}");
                continue;
            }
            // 2^(127 + bits) / 5^-power lies between the entry and one of its neighbours.
            let one = Big::new(1).times(2, 127 + bits);
            let times = |entry: u128| {
                let halves = [entry as u64, (entry >> 64) as u64].map(Big::new);
                let digits = [&halves[0].0[..], &halves[1].0[..]].concat();
                Big(digits).times(5, power.unsigned_abs())
            };
            let entry = u128::from(high) << 64 | u128::from(low);
            let floor = if power >= -27 { entry - 1 } else { entry };
            assert!(times(floor).compare(&one).is_lt() && times(floor + 1).compare(&one).is_gt(), "5^{power}");
        }
    }

    #[test]
    fn random_decimals_are_rounded_to_the_nearest() {
        let mut state = 1;
        for _ in 0..100_000 {
            let mantissa = random(&mut state) >> (random(&mut state) % 64);
            let power = (random(&mut state) % (2 * POWER_MAX as u64 + 1)) as i32 - POWER_MAX;
            match double(mantissa, power) {
                Some(0.0) => assert_eq!(mantissa, 0),
                Some(float) => assert_nearest(mantissa, power, float),
                None => assert!(power < -27, "{mantissa}e{power}"),
            }
        }
    }

    #[test]
    fn decimals_halfway_between_two_doubles_go_to_the_even_one() {
        let mut state = 2;
        let mut halfway = 0;
        for power in -4..=22i32 {
            let five = 5u64.pow(power.unsigned_abs());
            for _ in 0..2_000 {
                // 54 bits: an odd one is halfway between two doubles.
                let odd = (1 << 53 | random(&mut state) >> 11) | 1;
                let mantissa = if power < 0 { odd.checked_mul(five) } else { Some((odd / five) | 1) };
                // Beyond 64 bits there is none for this power.
                let Some(mantissa) = mantissa else { continue };
                let zeros = random(&mut state) % (1 + u64::from(mantissa.leading_zeros()));
                for mantissa in [mantissa - 1, mantissa, mantissa + 1, mantissa << zeros] {
                    let float = double(mantissa, power).unwrap();
                    assert_nearest(mantissa, power, float);
                    let bits = float.to_bits();
                    let (whole, exponent) = (bits & ((1 << 52) - 1) | 1 << 52, (bits >> 52) as i32 - 1075);
                    halfway += usize::from(compare(mantissa, power, 4 * whole + 2, exponent).is_eq());
                    halfway += usize::from(compare(mantissa, power, 4 * whole - 2, exponent).is_eq());
                }
            }
        }
        assert!(halfway > 50_000, "only {halfway} were halfway");
    }

    #[test]
    fn what_is_out_of_reach_is_left_to_others() {
        assert_eq!(double(1, POWER_MAX + 1), None);
        assert_eq!(double(1, -POWER_MAX - 1), None);
        assert_eq!(double(0, 0), Some(0.0));
        assert_eq!(double(0, POWER_MAX), Some(0.0));
        assert_eq!(double(u64::MAX, 0), Some(u64::MAX as f64));
    }
}
