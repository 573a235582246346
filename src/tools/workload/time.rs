//! When lines happen, and whose turn it is.

/// The time of the lines being written.
pub struct Time {
    ns: i64,
    interval_ns: i64,
    /// The time as the end of a line.
    line_end: Vec<u8>,
}

impl Time {
    pub fn new(start_ns: i64, interval_ns: i64) -> Self {
        let mut time = Self { ns: start_ns, interval_ns, line_end: Vec::new() };
        time.spell();
        time
    }

    fn advance(&mut self) {
        self.ns = self.ns.saturating_add(self.interval_ns);
        self.spell();
    }

    /// Writes a space, the time and the LF.
    fn end_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.line_end);
    }

    fn spell(&mut self) {
        self.line_end = format!(" {}\n", self.ns).into_bytes();
    }
}

/// Lines of one time, and then as many one interval later.
pub struct Cycle {
    lines: usize,
    /// The line being written, of those of its time.
    pub line: usize,
    time: Time,
}

impl Cycle {
    pub fn new(lines: usize, time: Time) -> Self {
        Self { lines, line: 0, time }
    }

    /// Writes a space, the time and the LF, and turns to the next line.
    pub fn end_line(&mut self, out: &mut Vec<u8>) {
        self.time.end_line(out);
        self.line += 1;
        if self.line == self.lines {
            self.line = 0;
            self.time.advance();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stops_at_its_end() {
        let mut time = Time::new(i64::MAX - 1, 5);
        time.advance();
        let mut text = Vec::new();
        time.end_line(&mut text);
        assert_eq!(text, b" 9223372036854775807\n");
    }
}
