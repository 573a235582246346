//! Fields that walk at random from line to line.

use super::digits::{write_decimal, write_digits, write_hex};
use super::random::Random;

pub struct Field {
    pub name: &'static str,
    pub form: Form,
    pub walk: Walk,
}

/// How a value is written. No value is negative.
#[derive(Clone, Copy)]
pub enum Form {
    /// With the suffix `i`.
    Integer,
    /// A float: the value divided by 10 to this power, without trailing zeros.
    Decimal(u32),
    /// True unless 0.
    Boolean,
    /// Seconds as a string of days, hours and minutes.
    Uptime,
    /// 64 hexadecimal digits as a string.
    Id,
}

impl Form {
    pub fn write(self, value: i64, out: &mut Vec<u8>) {
        let value = value.unsigned_abs();
        match self {
            Self::Integer => {
                write_digits(value, out);
                out.push(b'i');
            }
            Self::Decimal(places) => write_decimal(value, places, out),
            Self::Boolean => out.extend_from_slice(if value > 0 { b"true" } else { b"false" }),
            Self::Uptime => {
                let (days, hours, minutes) = (value / 86_400, value / 3_600 % 24, value / 60 % 60);
                out.extend_from_slice(format!("\"{days} days, {hours:2}:{minutes:02}\"").as_bytes());
            }
            Self::Id => {
                out.push(b'"');
                let mut digits = Random(value);
                (0..4).for_each(|_| write_hex(digits.next(), 16, out));
                out.push(b'"');
            }
        }
    }
}

/// How a value begins and goes on. `whole` and `part` are the numbers of other fields, which stand before.
#[derive(Clone, Copy)]
pub enum Walk {
    /// Stays: `from` plus up to `choices - 1` times `step`.
    Fixed { from: i64, step: i64, choices: u64 },
    /// Stays what the model of the truck says.
    Model(usize),
    /// Up and down by at most `step` between 0 and `high`.
    Gauge { high: i64, step: i64 },
    /// Up and down by at most `step` between 0 and another field.
    Within { whole: usize, step: i64 },
    /// Begins at `from` and grows by about `mean`.
    Counter { from: i64, mean: i64 },
    /// What is left of `whole` without `part`.
    Rest { whole: usize, part: usize },
    /// `part` in percent of `whole`, in units of 10 to the power of -`places`.
    Percent { whole: usize, part: usize, places: u32 },
    /// `low` to `high` of about 1000 ticks in percent, in units of 10 to the power of -15.
    Share { low: i64, high: i64 },
    /// Always 1 with this chance in 1000, otherwise 0.
    Chance(u64),
}

/// What a truck's model says: load capacity, fuel capacity, nominal fuel consumption.
pub type Model = [i64; 3];

impl Walk {
    /// The first value; `before`: those of the fields that stand before.
    pub fn birth(self, before: &[i64], model: &Model, random: &mut Random) -> i64 {
        match self {
            Self::Fixed { from, step, choices } => from + step * random.below(choices) as i64,
            Self::Gauge { high, .. } => random.below(high as u64 + 1) as i64,
            Self::Within { whole, .. } => random.below(before[whole] as u64 + 1) as i64,
            Self::Counter { from, .. } => from,
            _ => self.step(0, before, model, random),
        }
    }

    pub fn step(self, value: i64, values: &[i64], model: &Model, random: &mut Random) -> i64 {
        match self {
            Self::Fixed { .. } => value,
            Self::Model(number) => model[number],
            Self::Gauge { high, step } => (value + random.between(-step, step)).clamp(0, high),
            Self::Within { whole, step } => (value + random.between(-step, step)).clamp(0, values[whole]),
            Self::Counter { mean, .. } => value + random.between(mean / 2, mean + mean / 2),
            Self::Rest { whole, part } => values[whole] - values[part],
            Self::Percent { whole, part, places } => {
                let scale = 100 * 10_i128.pow(places);
                (i128::from(values[part]) * scale / i128::from(values[whole].max(1))) as i64
            }
            Self::Share { low, high } => {
                let ticks = i128::from(random.between(low, high));
                let all = i128::from(random.between(high.max(990), high.max(1010)));
                (ticks * 10_i128.pow(17) / all) as i64
            }
            Self::Chance(of_1000) => i64::from(random.below(1000) < of_1000),
        }
    }
}
