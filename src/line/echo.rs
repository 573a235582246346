//! A line as an answer repeats it.

/// Most bytes of a line that are repeated.
const ECHO_BYTES_MAX: usize = 512;

/// A bad line as it is repeated: valid UTF-8, cut where it is long.
pub fn echo(line: &[u8]) -> String {
    if line.len() <= ECHO_BYTES_MAX {
        return String::from_utf8_lossy(line).into_owned();
    }
    let mut cut = ECHO_BYTES_MAX;
    // Not in the middle of a character.
    while cut > ECHO_BYTES_MAX - 4 && line[cut] & 0xC0 == 0x80 {
        cut -= 1;
    }
    format!("{}... ({} bytes)", String::from_utf8_lossy(&line[..cut]), line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_are_cut_between_characters() {
        let line = "ä".repeat(1000);
        let text = echo(&line.as_bytes()[1..]);
        assert!(text.len() < 600, "{}", text.len());
        assert!(text.ends_with("(1999 bytes)"));
        assert_eq!(echo(b"a\xFFb"), "a\u{FFFD}b");
    }
}
