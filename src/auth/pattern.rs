//! Which buckets a token is for.

use serde::{Deserialize, Serialize};

/// Longest text of a pattern, in bytes.
const BYTES_MAX: usize = 1024;

/// The name of a bucket, in which each `*` stands for any text, none and `/` included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no pattern of buckets; give a name of 1 to {BYTES_MAX} bytes, in which * stands for any text")]
pub struct PatternError {
    text: String,
}

impl Pattern {
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
        // Without a star the first piece is the whole pattern.
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        for piece in pieces {
            // The first place is as good as any: it leaves the most for the other pieces.
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last)
    }

    /// Whether any name matches: there is nothing but stars.
    pub fn matches_all(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'*')
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        let is_sound = (1..=BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
        if is_sound { Ok(Self(text)) } else { Err(PatternError { text }) }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, matching, others) in [
            (
                "telegraf",
                &["telegraf"][..],
                &["", "telegra", "telegraf2", "telegraf/week", "Telegraf", "x/telegraf"][..],
            ),
            ("*", &["", "a", "a/b"], &[]),
            ("telegraf*", &["telegraf", "telegraf/week", "telegraf2"], &["a-telegraf", "telegra"]),
            ("*/week", &["a/week", "/week"], &["week", "a/weekly"]),
            ("a*b*a", &["aba", "a-b-a", "abba", "ababa"], &["a", "aa", "ab", "ba", "aab"]),
            ("aa*aa", &["aaaa", "aa-aa"], &["aa", "aaa"]),
            ("a**ü", &["aü", "a-ü"], &["a"]),
        ] {
            let pattern = Pattern::try_from(pattern.to_owned()).unwrap();
            for name in matching {
                assert!(pattern.matches(name), "{pattern:?} {name:?}");
            }
            assert_eq!(pattern.matches_all(), pattern.as_str() == "*", "{pattern:?}");
            for name in others {
                assert!(!pattern.matches(name), "{pattern:?} {name:?}");
            }
        }
    }

    /// Every way in which the first star can stand for something, one after the other.
    fn plainly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, _) => name.is_empty(),
            (Some((b'*', rest)), _) => (0..=name.len()).any(|taken| plainly(rest, &name[taken..])),
            (Some((byte, pattern)), Some((first, name))) => byte == first && plainly(pattern, name),
            (Some(_), None) => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn it_matches_what_the_plain_way_matches(pattern in "[ab*]{1,8}", name in "[ab]{0,10}") {
            let fast = Pattern::try_from(pattern.clone()).unwrap().matches(&name);
            proptest::prop_assert_eq!(fast, plainly(pattern.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn what_can_be_no_pattern_is_refused() {
        for text in [String::new(), "a\nb".into(), "x".repeat(BYTES_MAX + 1)] {
            assert!(Pattern::try_from(text).is_err());
        }
    }
}
