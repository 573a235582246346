//! Random bodies of line protocol that are nearly right: what a fuzz target or a property test feeds to the parsers.
//!
//! Random bytes hardly ever get behind the first comma of a line. [`body_from`] reads them as choices instead: which fragment of the
//! grammar comes next, and whether it is a good one, a legal but odd one, or a bad one. Any bytes give a body, the same bytes give the
//! same body, and fewer bytes give a smaller one, so that shrinking works. With proptest: `vec(any::<u8>(), 0..400)` mapped through it.

/// The body that `seed_bytes` choose: mostly some ten bytes per seed byte, and none without seed bytes.
pub fn body_from(seed_bytes: &[u8]) -> Vec<u8> {
    let mut writer = Writer { choices: Choices { rest: seed_bytes }, body: Vec::new() };
    while !writer.choices.rest.is_empty() {
        writer.line();
    }
    writer.body
}

/// Seed bytes, taken from the front; when there are none left, every choice is the first one (which is always plain and short).
struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    /// One of `options` (at most 256).
    fn pick<'b>(&mut self, options: &[&'b [u8]]) -> &'b [u8] {
        options[usize::from(self.byte()) % options.len()]
    }

    /// True for about `in_256` of 256 seed bytes, never without one.
    fn rarely(&mut self, in_256: u8) -> bool {
        self.byte() > 255 - in_256
    }

    fn raw(&mut self, count: usize) -> &'a [u8] {
        let (raw, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        raw
    }
}

struct Writer<'a> {
    choices: Choices<'a>,
    body: Vec<u8>,
}

#[rustfmt::skip]
impl Writer<'_> {
    const LINE_STARTS: [&'static [u8]; 8] = [b"", b"", b"", b"", b" ", b"\t", b"  \t", b"\r"];
    const LINE_ENDS: [&'static [u8]; 6] = [b"\n", b"\n", b"\n", b"\r\n", b" \n", b"\n\n"];
    const ODD_LINE_ENDS: [&'static [u8]; 6] = [b"\r\r\n", b"\\\n", b"\\\r\n", b"\r", b"\r \n", b""];
    const GAPS: [&'static [u8]; 5] = [b" ", b" ", b" ", b"  ", b" \t"];
    const ODD_GAPS: [&'static [u8]; 4] = [b"\t", b"\\ ", b"", b"\\\\ "];
    const TAILS: [&'static [u8]; 4] = [b"", b"", b" ", b"  "];
    const ODD_TAILS: [&'static [u8]; 6] = [b"\t", b" \t", b" 7", b" # x", b"\"", b" \""];

    const NAMES: [&'static [u8]; 24] = [
        b"m", b"t", b"f", b"a", b"b", b"cpu", b"usage_user", b"hostname", b"T", b"1", b"-1i", b"\xc3\xa9", b"\xe6\x97\xa5\xe6\x9c\xac", b"\xf0\x9d\x84\x9e",
        b"m#", b"\"q\"", b"a-name-of-more-than-thirty-two-bytes-in-all", b"twelve_bytes", b"sixteen_bytes_ok", b"\\#", b"\0", b"x\ty", b"x\ry", b"\xef\xbb\xbf",
    ];
    const RESERVED: [&'static [u8]; 4] = [b"time", b"_field", b"_measurement", b"\0"];
    /// What may be glued to a name or a string.
    const ESCAPES: [&'static [u8]; 16] = [
        b"\\,", b"\\ ", b"\\=", b"\\\"", b"\\\\", b"\\", b"\\n", b"\\\\,", b"\\\\ ", b"\\\\=", b"\\\\\"", b"\\\n", b"\\\r\n", b"\"", b"\\\\\\\"", b"\\\\\\\\",
    ];
    /// What no name may hold as it stands, and every string may.
    const SEPARATORS: [&'static [u8]; 10] = [b",", b"=", b" ", b"\n", b"\r", b"\t", b",,", b"==", b"\r\n", b"#"];
    const QUOTED: [&'static [u8]; 6] = [b"\"", b"=\"", b",\"", b" \"", b"\",", b"\" "];
    const NOT_UTF8: [&'static [u8]; 8] = [b"\xff", b"\x80", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe6\x97", b"\xf0\x9d\x84"];

    const NUMBERS: [&'static [u8]; 40] = [
        b"1", b"0", b"-1", b"1i", b"-1i", b"1u", b"0i", b"-0i", b"0u", b"-0", b"1.5", b"-1.5", b".5", b"1.", b"-.5", b"1.e2", b"1e5", b"1E-5", b"1e+5",
        b"9223372036854775807i", b"-9223372036854775808i", b"18446744073709551615u", b"000000000000000000000000000001i", b"0000000000000000000000000001u",
        b"12345678i", b"123456789i", b"1234567890123456i", b"12345678901234567i", b"1.7976931348623157e308", b"5e-324", b"2e-324", b"1e-400",
        b"9007199254740993", b"9007199254740993.00000000000000000000000001", b"0.1234567890123456789", b"62.098454303729035", b"12345678.87654321",
        b"0e99999999999", b"2.2250738585072011e-308", b"100000000000000000000000000000000000000000000000000000000000000000000000",
    ];
    const ODD_NUMBERS: [&'static [u8]; 26] = [
        b"9223372036854775808i", b"-9223372036854775809i", b"18446744073709551616u", b"99999999999999999999999999i", b"99999999999999999999999999u", b"-0u",
        b"1.7976931348623159e308", b"-1e400", b"1e99999999999", b".", b"-", b"-.", b"1e", b"1e+", b"1.2.3", b"--1", b"1-1", b"1_0", b"0x1", b"1I", b"1ii", b"1iu", b"1t",
        b"1e3i", b"-i", b"1\"",
    ];
    const BOOLEANS: [&'static [u8]; 10] = [b"t", b"f", b"T", b"F", b"true", b"false", b"True", b"False", b"TRUE", b"FALSE"];
    const ODD_WORDS: [&'static [u8]; 14] = [b"tRUE", b"tr", b"truee", b"fals", b"i", b"u", b"nan", b"NaN", b"inf", b"-inf", b"+1", b"'a'", b"", b"\\\"a\""];
    /// Good ones in every precision.
    const TIMES: [&'static [u8]; 8] = [b"1", b"0", b"-1", b"-0", b"2562047", b"-2562047", b"495960", b"0000000000000000000000000000005"];
    /// Good ones in some precision, and bad ones.
    const ODD_TIMES: [&'static [u8]; 20] = [
        b"1793491200000000000", b"1793491200", b"9223372036854775806", b"9223372036854775807", b"-9223372036854775806", b"-9223372036854775807",
        b"-9223372036854775808", b"9223372036854775808", b"99999999999999999999", b"9223372036", b"9223372037", b"2562048", b"-2562048", b"18446744073709552",
        b"+1", b"1.5", b"1i", b"-", b"1x", b"\"1\"",
    ];

    fn push(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }

    fn line(&mut self) {
        self.push_one(&Self::LINE_STARTS);
        match self.choices.byte() {
            0..=227 => self.point(),
            228..=231 => { self.push(b"#"); self.noise(); }
            232..=239 => {} // a blank line
            240..=249 => self.noise(),
            250..=255 => { let raw = self.choices.raw(12); self.push(raw); }
        }
        self.push_either(&Self::LINE_ENDS, &Self::ODD_LINE_ENDS, 8);
    }
}

impl Writer<'_> {
    fn push_one(&mut self, options: &[&[u8]]) {
        let bytes = self.choices.pick(options);
        self.push(bytes);
    }

    /// A good fragment, or an odd one for about `in_256` of 256 seed bytes.
    fn push_either(&mut self, good: &[&[u8]], odd: &[&[u8]], in_256: u8) {
        let options = if self.choices.rarely(in_256) { odd } else { good };
        self.push_one(options);
    }

    fn point(&mut self) {
        self.name();
        for _ in 0..self.count() {
            self.tag();
        }
        self.push_either(&Self::GAPS, &Self::ODD_GAPS, 6);
        self.field();
        for _ in 0..self.count() {
            self.push(b",");
            self.field();
        }
        if self.choices.rarely(128) {
            self.push_either(&Self::GAPS, &Self::ODD_GAPS, 6);
            self.push_either(&Self::TIMES, &Self::ODD_TIMES, 48);
        }
        self.push_either(&Self::TAILS, &Self::ODD_TAILS, 8);
    }

    /// Mostly 0 to 3, sometimes as many as make a parser's vectors turn over.
    fn count(&mut self) -> usize {
        match self.choices.byte() {
            byte @ 0..=239 => usize::from(byte % 4),
            byte => usize::from(byte - 236),
        }
    }

    fn tag(&mut self) {
        self.push(b",");
        self.name();
        if !self.choices.rarely(3) {
            self.push(b"=");
        }
        self.name();
    }

    fn field(&mut self) {
        self.name();
        if !self.choices.rarely(3) {
            self.push(b"=");
        }
        match self.choices.byte() {
            0..=111 => self.push_either(&Self::NUMBERS, &Self::ODD_NUMBERS, 24),
            112..=143 => self.digits(),
            144..=223 => self.string(),
            224..=255 => self.push_either(&Self::BOOLEANS, &Self::ODD_WORDS, 24),
        }
    }

    /// A name: mostly good, sometimes with escapes, repeated beyond any vector's width, empty or broken.
    fn name(&mut self) {
        let name = self.choices.pick(&Self::NAMES);
        match self.choices.byte() {
            0..=199 => self.push(name),
            200..=223 => {
                self.push(name);
                self.push_one(&Self::ESCAPES);
                if !self.choices.rarely(24) {
                    self.push_one(&Self::NAMES);
                }
            }
            224..=231 => {
                self.push_one(&Self::ESCAPES);
                self.push(name);
            }
            232..=242 => {
                let times = 1 + usize::from(self.choices.byte() % 80);
                self.push(&name.repeat(times));
            }
            243..=246 => self.separated(name),
            247 => {
                self.push(name);
                self.push_one(&Self::NOT_UTF8);
            }
            248..=249 => self.push_one(&Self::RESERVED),
            250..=252 => {
                let long = if self.choices.rarely(24) { 65_530 } else { 300 };
                self.push(&b"k".repeat(long));
            }
            253..=255 => {}
        }
    }

    fn separated(&mut self, name: &[u8]) {
        self.push(name);
        self.push_either(&Self::SEPARATORS, &Self::QUOTED, 96);
        self.push(name);
    }

    fn string(&mut self) {
        self.push(b"\"");
        for _ in 0..self.count() {
            match self.choices.byte() {
                0..=79 => self.push_one(&Self::NAMES),
                80..=143 => self.push_one(&Self::ESCAPES),
                144..=239 => self.push_either(&Self::SEPARATORS, &Self::QUOTED, 12),
                240..=241 => self.push_one(&Self::NOT_UTF8),
                242..=255 => {
                    let spaces = usize::from(self.choices.byte() % 130);
                    self.push(&b" ".repeat(spaces));
                }
            }
        }
        if !self.choices.rarely(4) {
            self.push(b"\"");
        }
    }

    /// A number of as many digits as it likes, signs, points and exponents about.
    fn digits(&mut self) {
        let start = self.choices.pick(&[b"", b"-", b".", b"-.", b"0.", b"-0."]);
        self.push(start);
        for _ in 0..1 + self.choices.byte() % 24 {
            let digit = self.choices.byte();
            // Few are none; a point is the likeliest.
            let byte = if digit < 249 { b'0' + digit % 10 } else { b"...eE-_"[usize::from(digit - 249)] };
            self.body.push(byte);
        }
        let end = self.choices.pick(&[b"", b"i", b"u", b"", b".", b"e1", b"e-9", b""]);
        self.push(end);
    }

    /// Fragments in any order.
    fn noise(&mut self) {
        for _ in 0..2 * self.count() {
            match self.choices.byte() {
                0..=79 => self.push_one(&Self::NAMES),
                80..=127 => self.push_one(&Self::ESCAPES),
                128..=207 => self.push_either(&Self::SEPARATORS, &Self::QUOTED, 96),
                208..=231 => self.push_either(&Self::NUMBERS, &Self::ODD_NUMBERS, 64),
                232..=239 => self.push_either(&Self::BOOLEANS, &Self::ODD_WORDS, 64),
                240..=247 => self.push_either(&Self::TIMES, &Self::ODD_TIMES, 128),
                248..=255 => self.push_one(&Self::NOT_UTF8),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ringest::line::grammar::Precision;
    use ringest::line::naive;

    use super::body_from;

    /// Seeds of xorshift bytes, the same in every run.
    fn seeds(count: usize) -> impl Iterator<Item = Vec<u8>> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut byte = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 56) as u8
        };
        (0..count).map(move |number| (0..number % 400).map(|_| byte()).collect())
    }

    #[test]
    fn no_seed_gives_no_body() {
        assert!(body_from(&[]).is_empty());
        assert_eq!(body_from(&[0]), b"m m=1\n");
    }

    /// The generator is worth its name only if it reaches every error, and good points beside them.
    #[test]
    fn bodies_reach_points_and_every_kind_of_error() {
        let mut kinds = BTreeMap::new();
        let (mut points, mut bytes) = (0, 0);
        for seed in seeds(20_000) {
            let body = body_from(&seed);
            let parsed = naive::parse(&body, Precision::Second);
            bytes += body.len();
            points += parsed.points.len();
            for error in &parsed.errors {
                let debug = format!("{:?}", error.kind);
                let name = debug.split('(').next().unwrap_or_default().to_owned();
                *kinds.entry(name).or_insert(0_usize) += 1;
            }
        }
        println!("{points} points, {bytes} bytes, errors {kinds:?}");
        assert_eq!(kinds.len(), 22, "{kinds:?}");
        assert!(kinds.values().all(|&count| count >= 20), "{kinds:?}");
        assert!(points * 4 > kinds.values().sum::<usize>(), "{points} points, {kinds:?}");
    }
}
