//! `ringest token`: makes, lists and revokes the tokens of a data directory, beside a running node or without one.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::auth::{self, FileError, Grant, Pattern, PatternError, PlainToken, Token};

pub use crate::auth::Quota;

/// Longest name of a token, in bytes.
const NAME_BYTES_MAX: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum TokenToolError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("{name:?} is no name for a token; give one of 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Name { name: String },
    #[error("there is a token named {name:?} already ({id}); choose another name, or revoke that one first")]
    NameTaken { name: String, id: String },
    #[error("there is no token with the id or the name {wanted:?} in {}; `ringest token list` shows those that there are", path.display())]
    NotFound { wanted: String, path: PathBuf },
    #[error("there is no folder {}; give the node's data directory", path.display())]
    NoFolder { path: PathBuf },
    #[error("{wanted:?} is the id of one token and the name of another; revoke the other one by its id first")]
    Ambiguous { wanted: String },
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// What a new token is to be.
#[derive(Debug)]
pub struct Wanted<'a> {
    pub name: &'a str,
    pub write: &'a [String],
    pub read: &'a [String],
    pub quota: Quota,
}

/// Makes a token, and returns it with the text that its owner needs, which is kept nowhere.
///
/// # Errors
/// The wish is not possible, or the disk refuses something; then there is no new token.
pub fn create(data_dir: &Path, wanted: &Wanted<'_>) -> Result<(Token, PlainToken), TokenToolError> {
    let name = wanted.name.to_owned();
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || name.contains(char::is_control) {
        return Err(TokenToolError::Name { name });
    }
    let patterns = |texts: &[String]| texts.iter().cloned().map(Pattern::try_from).collect::<Result<Vec<_>, _>>();
    let (write, read) = (patterns(wanted.write)?, patterns(wanted.read)?);
    let created = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let grant = Grant { name, write, read, quota: wanted.quota, created };
    auth::edit(data_dir, |tokens| {
        if let Some(token) = tokens.iter().find(|token| token.name() == wanted.name) {
            return Err(TokenToolError::NameTaken { name: wanted.name.to_owned(), id: token.id().to_owned() });
        }
        let (token, plain) = Token::new(grant).map_err(TokenToolError::Random)?;
        tokens.push(token.clone());
        Ok((token, plain))
    })
}

/// Takes away the token with this id or name, and returns it.
///
/// # Errors
/// There is none, or the disk refuses something.
pub fn revoke(data_dir: &Path, wanted: &str) -> Result<Token, TokenToolError> {
    let is_wanted = |token: &Token| token.id() == wanted || token.name() == wanted;
    let not_found = || TokenToolError::NotFound { wanted: wanted.to_owned(), path: auth::path(data_dir) };
    // An edit would make the folder.
    auth::read(data_dir)?.ok_or_else(not_found)?;
    auth::edit(data_dir, |tokens| {
        let mut found = tokens.extract_if(.., |token| is_wanted(token));
        match (found.next(), found.next()) {
            (Some(token), None) => Ok(token),
            (Some(_), Some(_)) => Err(TokenToolError::Ambiguous { wanted: wanted.to_owned() }),
            (None, _) => Err(not_found()),
        }
    })
}

/// The tokens, in the order in which they were made.
///
/// # Errors
/// There is no such folder, or the file cannot be read.
pub fn list(data_dir: &Path) -> Result<Listing, TokenToolError> {
    match auth::read(data_dir)? {
        Some(tokens) => Ok(Listing(tokens)),
        // A node that has none.
        None if data_dir.is_dir() => Ok(Listing(Vec::new())),
        None => Err(TokenToolError::NoFolder { path: data_dir.to_owned() }),
    }
}

/// Tokens as a table for people.
#[derive(Debug)]
pub struct Listing(Vec<Token>);

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ["id", "name", "write", "read", "quota", "created"].map(str::to_owned);
        let rows: Vec<[String; 6]> = std::iter::once(titles).chain(self.0.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        for row in &rows {
            let line: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(f, "{}", line.join("  ").trim_end())?;
        }
        Ok(())
    }
}

fn row(token: &Token) -> [String; 6] {
    let patterns = |patterns: &[Pattern]| match patterns {
        [] => "-".to_owned(),
        patterns => patterns.iter().map(Pattern::as_str).collect::<Vec<_>>().join(","),
    };
    let quota = match token.quota() {
        Quota::Default => "default".to_owned(),
        Quota::Unlimited => "inf".to_owned(),
        Quota::BytesPerSecond(rate) => format!("{rate} B/s"),
    };
    let (write, read) = (patterns(token.write_patterns()), patterns(token.read_patterns()));
    [token.id().to_owned(), token.name().to_owned(), write, read, quota, token.created().to_owned()]
}
