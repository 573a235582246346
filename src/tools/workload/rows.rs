//! A plant with 200 measuring points: every machine reports all of them in each line, or a few.

use super::digits::{write_decimal, write_digits};
use super::random::Random;
use super::time::Cycle;
use super::{Lines, Plan};

/// Fields of the table.
pub const FIELDS: usize = 200;
/// Fields of a line where lines are sparse.
pub const SPARSE_FIELDS: usize = 5;

/// One machine after the other.
pub struct Rows {
    random: Random,
    cycle: Cycle,
    /// `name=` of every field.
    names: Vec<Vec<u8>>,
    /// Machine by machine, field by field.
    values: Vec<i64>,
    /// A line has a few fields only, other ones each time.
    sparse: bool,
}

impl Rows {
    pub fn new(plan: Plan, sparse: bool) -> Self {
        let Plan { hosts, mut random, time } = plan;
        let names = (0..FIELDS).map(|field| {
            let (unit, quantity) = (field / QUANTITIES.len(), QUANTITIES[field % QUANTITIES.len()]);
            format!("{}{}_{quantity}=", UNITS[unit % UNITS.len()], unit / UNITS.len() + 1).into_bytes()
        });
        let names = names.collect();
        let values = (0..hosts * FIELDS).map(|_| random.below(10_000) as i64).collect();
        Self { random, cycle: Cycle::new(hosts, time), names, values, sparse }
    }

    fn write_field(&mut self, field: usize, out: &mut Vec<u8>) {
        let value = &mut self.values[self.cycle.line * FIELDS + field];
        out.extend_from_slice(&self.names[field]);
        // Every other one counts, the rest measures with one or two places.
        match field % 4 {
            0 | 2 => {
                *value += self.random.below(50) as i64;
                write_digits(value.unsigned_abs(), out);
                out.push(b'i');
            }
            places => {
                *value = (*value + self.random.between(-100, 100)).clamp(0, 99_999);
                write_decimal(value.unsigned_abs(), places as u32 / 2 + 1, out);
            }
        }
    }

    /// The fields of the next line, ascending.
    fn draw_fields(&mut self) -> Vec<usize> {
        let mut fields: Vec<usize> = Vec::with_capacity(SPARSE_FIELDS);
        while fields.len() < SPARSE_FIELDS {
            let field = self.random.below(FIELDS as u64) as usize;
            if let Err(place) = fields.binary_search(&field) {
                fields.insert(place, field);
            }
        }
        fields
    }

    fn write_fields(&mut self, fields: impl IntoIterator<Item = usize>, out: &mut Vec<u8>) {
        let mut separator = b' ';
        for field in fields {
            out.push(std::mem::replace(&mut separator, b','));
            self.write_field(field, out);
        }
    }
}

impl Lines for Rows {
    fn write_line(&mut self, out: &mut Vec<u8>) {
        let host = self.cycle.line;
        out.extend_from_slice(format!("machine,id=press-{host:04},line=L{},plant=P{}", host % 9, host % 3).as_bytes());
        if self.sparse {
            let fields = self.draw_fields();
            self.write_fields(fields, out);
        } else {
            self.write_fields(0..FIELDS, out);
        }
        self.cycle.end_line(out);
    }
}

const UNITS: [&str; 5] = ["motor", "pump", "hydraulics", "conveyor", "axis"];
const QUANTITIES: [&str; 8] =
    ["rpm", "temperature", "starts", "current", "pulses", "pressure", "operating_seconds", "vibration_rms"];
