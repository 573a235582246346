//! Where a value came from, and what is wrong with it, as sentences.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// With its dashes.
    Flag(String),
    /// The variable's name.
    Environment(String),
    File {
        path: PathBuf,
        /// 1-based.
        line: usize,
    },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("cannot read the configuration file {}: {error}; check the path given by {origin}", path.display())]
    Unreadable { path: PathBuf, origin: Origin, error: io::Error },
    #[error("{origin}: not TOML: {message}")]
    Syntax { origin: Origin, message: String },
    #[error("{origin}: there is no option {key:?}{}; the options are {valid}", did_you_mean(nearest))]
    UnknownKey { origin: Origin, key: String, nearest: Option<String>, valid: String },
    #[error("there is no environment variable {variable}{}; unset it or use one of {valid}", did_you_mean(nearest))]
    UnknownVariable { variable: String, nearest: Option<String>, valid: String },
    #[error("environment {variable}: its value is not UTF-8; set it to plain text or unset it")]
    VariableNotText { variable: String },
    #[error("{origin}: {key} is {found}; give text in quotes or a number")]
    NotAValue { origin: Origin, key: String, found: &'static str },
    #[error("{origin}: {key} = {text:?} is not possible: {why}")]
    Impossible { key: &'static str, text: String, origin: Origin, why: String },
    #[error(
        "{key} = {text} ({origin}) is more than {share} of {limit_key} = {limit_text} ({limit_origin}): lower the first or raise the second"
    )]
    TooLarge {
        key: &'static str,
        share: &'static str,
        text: String,
        origin: Origin,
        limit_key: &'static str,
        limit_text: String,
        limit_origin: Origin,
    },
    #[error(
        "listen = {listen} ({origin}) is reachable from other machines, and auth is off: give auth = required, listen on a loopback address, \
         or say insecure = true if whoever reaches the port may write"
    )]
    Exposed { listen: String, origin: Origin },
    #[error("{given} ({origin}) is given without {missing}: give both, or none")]
    Alone { given: &'static str, origin: Origin, missing: &'static str },
    #[error("{origin}: {key} is no section; write {write} on a line of its own, and its keys below")]
    NotSections { origin: Origin, key: &'static str, write: &'static str },
    #[error(
        "{origin}: the mapping names no database or no bucket; give db and bucket, and rp if it is for one retention policy"
    )]
    MappingIncomplete { origin: Origin },
    #[error(
        "{origin}: the database {db:?} with the retention policy {:?} is mapped before; keep one of the mappings",
        named(policy)
    )]
    MappedTwice { origin: Origin, db: String, policy: String },
}

/// The name of a retention policy, the default one's too.
fn named(policy: &str) -> &str {
    if policy.is_empty() { "autogen" } else { policy }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|nearest| format!(" (did you mean {nearest}?)")).unwrap_or_default()
}

/// Everything that is wrong with a configuration, one sentence a line.
#[derive(Debug)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The candidate that `word` is most likely a misspelling of, if one is close.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .map(|(_, candidate)| candidate)
}

/// Characters to insert, delete or replace to make `a` into `b` (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_is_found_and_a_stranger_is_not() {
        let words = ["listen", "data-dir", "log", "log-format"];
        assert_eq!(nearest("listne", words.into_iter()), Some("listen"));
        assert_eq!(nearest("data_dir", words.into_iter()), Some("data-dir"));
        assert_eq!(nearest("logs", words.into_iter()), Some("log"));
        assert_eq!(nearest("compaction", words.into_iter()), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
