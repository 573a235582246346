//! Doubles of 17 significant digits, as programs write that print all that a double holds.

use super::digits::write_digits;
use super::random::Random;
use super::time::Cycle;
use super::{Lines, Plan};

/// A sensor's ten values after the other's.
pub struct Doubles {
    random: Random,
    cycle: Cycle,
}

impl Doubles {
    pub fn new(plan: Plan) -> Self {
        let Plan { hosts, random, time } = plan;
        Self { random, cycle: Cycle::new(hosts, time) }
    }
}

impl Lines for Doubles {
    fn write_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"motion,sensor=imu-");
        write_digits(self.cycle.line as u64, out);
        out.extend_from_slice(b",site=lab-");
        write_digits(self.cycle.line as u64 % 12, out);
        let mut separator = b' ';
        for name in NAMES {
            out.push(std::mem::replace(&mut separator, b','));
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            write_double(&mut self.random, out);
        }
        self.cycle.end_line(out);
    }
}

/// Writes 17 digits with the point at one of six places, every other time negative; one in 32 is so small that it has an exponent.
fn write_double(random: &mut Random, out: &mut Vec<u8>) {
    const DIGITS_17: u64 = 10_000_000_000_000_000;
    if random.once_in(2) {
        out.push(b'-');
    }
    let mut digits = Vec::with_capacity(17);
    write_digits(DIGITS_17 + random.below(9 * DIGITS_17), &mut digits);
    // A double ends in no zero when it is printed as short as it can be.
    digits[16] = b'1' + random.below(9) as u8;
    let (whole, exponent) = match random.below(32) {
        0 => (1, random.between(5, 9)),
        place => ((place % 6) as usize, 0),
    };
    match whole {
        0 => out.extend_from_slice(b"0"),
        _ => out.extend_from_slice(&digits[..whole]),
    }
    out.push(b'.');
    out.extend_from_slice(&digits[whole..]);
    if exponent > 0 {
        out.extend_from_slice(b"e-0");
        write_digits(exponent as u64, out);
    }
}

const NAMES: [&str; 10] =
    ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z", "magnet_x", "magnet_y", "magnet_z", "temperature"];
