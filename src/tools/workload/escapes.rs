//! Names that need escapes everywhere: spaces, commas and equals signs in measurement, tags and field keys; quotes and backslashes in
//! strings.

use super::digits::{write_decimal, write_digits};
use super::random::Random;
use super::time::Cycle;
use super::{Lines, Plan};

/// Shares of a file server, one after the other.
pub struct Escapes {
    random: Random,
    cycle: Cycle,
}

impl Escapes {
    pub fn new(plan: Plan) -> Self {
        let Plan { hosts, random, time } = plan;
        Self { random, cycle: Cycle::new(hosts, time) }
    }

    fn write_key(&self, out: &mut Vec<u8>) {
        let host = self.cycle.line;
        out.extend_from_slice(r"file\ shares\,\ usage,building\ and\ wing=B\ ".as_bytes());
        write_digits(host as u64 % 7, out);
        out.extend_from_slice(r",mount\ point=D:\data\ sets\,\ archive\=".as_bytes());
        write_digits(host as u64, out);
        out.extend_from_slice(r",share\,\ owner=".as_bytes());
        out.extend_from_slice(OWNERS[host % OWNERS.len()].as_bytes());
    }
}

impl Lines for Escapes {
    fn write_line(&mut self, out: &mut Vec<u8>) {
        self.write_key(out);
        let random = &mut self.random;
        out.extend_from_slice(br" free\ space\,\ bytes=");
        write_digits(random.below(1 << 40), out);
        out.extend_from_slice(br"i,files\ (open\=now)=");
        write_digits(random.below(10_000), out);
        out.extend_from_slice(br"i,load\,\ percent=");
        write_decimal(random.below(10_000), 2, out);
        out.extend_from_slice(br#",last\ file="\\\\srv\\share\\"#);
        out.extend_from_slice(random.pick(&FOLDERS).as_bytes());
        write_digits(random.below(100_000), out);
        out.extend_from_slice(br#".txt",last\ user\=name="\"#);
        out.extend_from_slice(
            random.pick(&["\"ann\\\" (o\\\\ps)\"", "\"bo\\\\b\\\"\"", "\"\\\\\\\"eve\\\\\\\"\""]).as_bytes(),
        );
        self.cycle.end_line(out);
    }
}

const OWNERS: [&str; 5] =
    [r"research\,\ floor\=2", r"sales\ and\ service", r"k\=v\,w\=x", r"A\,\ B\ &\ C", r"no\ body\ in\ particular"];

/// As written in a string.
const FOLDERS: [&str; 4] = [r#"\"new\"\\"#, r"reports\\2026\\", r#"it's \"fine\"\\q1\\"#, r"a\\b\\c\\"];
