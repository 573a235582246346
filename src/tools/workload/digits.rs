//! Numbers as text.

pub fn write_digits(value: u64, out: &mut Vec<u8>) {
    if value < 10 {
        out.push(b'0' + value as u8);
        return;
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = value;
    while left > 0 {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

/// `value` divided by 10 to the power of `places`, without trailing zeros.
pub fn write_decimal(value: u64, places: u32, out: &mut Vec<u8>) {
    let one = 10_u64.pow(places);
    write_digits(value / one, out);
    let mut fraction = value % one;
    if fraction == 0 {
        return;
    }
    // A leading 1 keeps the zeros behind the point; the point then takes its place.
    fraction += one;
    while fraction.is_multiple_of(10) {
        fraction /= 10;
    }
    let point = out.len();
    write_digits(fraction, out);
    out[point] = b'.';
}

/// The lowest `count` hexadecimal digits of `value`.
pub fn write_hex(value: u64, count: u32, out: &mut Vec<u8>) {
    out.extend((0..count).rev().map(|digit| b"0123456789abcdef"[(value >> (4 * digit)) as usize & 15]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn decimals_have_no_needless_zeros() {
        for (value, places, decimal) in
            [(0, 0, "0"), (7, 0, "7"), (5, 1, "0.5"), (10, 1, "1"), (1_00200, 5, "1.002"), (100_050, 3, "100.05")]
        {
            assert_eq!(text(|out| write_decimal(value, places, out)), decimal);
        }
    }

    #[test]
    fn hexadecimal_digits_keep_their_zeros() {
        assert_eq!(text(|out| write_hex(0x0a_bcd1, 6, out)), "0abcd1");
        assert_eq!(text(|out| write_hex(u64::MAX, 16, out)), "ffffffffffffffff");
    }
}
