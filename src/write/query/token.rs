//! InfluxQL's tokens, and what is said where one is out of place.

use std::fmt::Write;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A bare identifier or keyword.
    Word(&'a str),
    /// In double quotes: an identifier, unescaped.
    Name(String),
    /// In single quotes. What it says is never used, and may be a password.
    Text,
    /// Begins with a digit: a number or a duration.
    Number(&'a str),
    Regex,
    Symbol(char),
    End,
}

/// The text is no InfluxQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {found}, expected {expected} at line {line}, char {column}")]
pub struct SyntaxError {
    found: String,
    expected: String,
    /// Both from 1.
    line: usize,
    column: usize,
}

/// Most characters of a token that an error shows.
const FOUND_CHARS_MAX: usize = 64;

/// Words that are no identifiers without quotes.
const RESERVED: &str = "\
    ALL ALTER ANALYZE AND ANY AS ASC BEGIN BY CARDINALITY CONTINUOUS CREATE DATABASE DATABASES DEFAULT DELETE \
    DESC DESTINATIONS DIAGNOSTICS DISTINCT DROP DURATION END EVERY EXACT EXPLAIN FALSE FIELD FOR FROM FUTURE \
    GRANT GRANTS GROUP GROUPS IN INF INSERT INTO KEY KEYS KILL LIMIT MEASUREMENT MEASUREMENTS NAME OFFSET ON OR \
    ORDER PASSWORD PAST POLICIES POLICY PRIVILEGES QUERIES QUERY READ REPLICATION RESAMPLE RETENTION REVOKE \
    SELECT SERIES SET SHARD SHARDS SHOW SLIMIT SOFFSET STATS SUBSCRIPTION SUBSCRIPTIONS TAG TO TRUE USER USERS \
    VALUES VERBOSE WHERE WITH WRITE";

pub fn is_reserved(word: &str) -> bool {
    RESERVED.split(' ').any(|reserved| reserved.eq_ignore_ascii_case(word))
}

/// Cuts a query into tokens.
pub struct Scanner<'a> {
    text: &'a str,
    /// Where the next token is looked for.
    at: usize,
    /// Where the last one began.
    last_at: usize,
    /// A `/` that comes next begins a regular expression and is no division.
    takes_regex: bool,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, last_at: 0, takes_regex: false }
    }

    /// # Errors
    /// A string, name or regular expression has no end.
    pub fn next(&mut self) -> Result<Token<'a>, SyntaxError> {
        self.skip_blanks();
        self.last_at = self.at;
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        let takes_regex = std::mem::take(&mut self.takes_regex);
        let token = match first {
            '"' => Token::Name(self.quoted('"')?),
            '\'' => {
                self.quoted('\'')?;
                Token::Text
            }
            '/' if takes_regex => {
                self.quoted('/')?;
                Token::Regex
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let word = self.run(|c| c.is_ascii_alphanumeric() || c == '_');
                self.takes_regex = is_reserved(word);
                Token::Word(word)
            }
            '0'..='9' => Token::Number(self.run(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | 'µ' | 'μ'))),
            symbol => {
                self.at += symbol.len_utf8();
                self.takes_regex = matches!(symbol, '~' | ',' | '(');
                Token::Symbol(symbol)
            }
        };
        Ok(token)
    }

    /// White space and comments; one that has no end goes to the end of the text.
    fn skip_blanks(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let skipped = if rest.starts_with("--") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |end| end + 2)
            } else {
                rest.len() - rest.trim_start().len()
            };
            if skipped == 0 {
                return;
            }
            self.at += skipped;
        }
    }

    /// The characters from here on that are `part` of the token.
    fn run(&mut self, part: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// From a quote to its like, unescaped: `\"`, `\'`, `\\` and `\n`; of a regular expression only the end matters.
    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let mut name = String::new();
        let body_at = self.at + quote.len_utf8();
        let mut chars = self.text[body_at..].char_indices();
        while let Some((offset, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at = body_at + offset + c.len_utf8();
                    return Ok(name);
                }
                // Only a string in parts may go over lines, and there are none of those.
                '\n' if quote != '/' => break,
                '\\' => match chars.next().map(|(_, escaped)| escaped) {
                    Some('n') => name.push('\n'),
                    Some(escaped @ ('"' | '\'' | '\\' | '/')) => name.push(escaped),
                    Some(_) if quote == '/' => {}
                    _ => break,
                },
                c => name.push(c),
            }
        }
        let found = match quote {
            '/' => "a regular expression without end",
            _ => "a string without end or with an unknown escape",
        };
        Err(self.error(found.to_owned(), "a closing quote"))
    }

    /// What is said of the token that was read last.
    pub fn error_at_last(&self, found: &Token<'_>, expected: &str) -> SyntaxError {
        let found = match found {
            Token::Word(word) => (*word).to_owned(),
            Token::Name(name) => name.clone(),
            Token::Text => "a string".to_owned(),
            Token::Number(text) => (*text).to_owned(),
            Token::Regex => "a regular expression".to_owned(),
            Token::Symbol(symbol) => symbol.to_string(),
            Token::End => "EOF".to_owned(),
        };
        self.error(found, expected)
    }

    fn error(&self, mut found: String, expected: &str) -> SyntaxError {
        if let Some((end, _)) = found.char_indices().nth(FOUND_CHARS_MAX) {
            found.truncate(end);
            // Writing to a String cannot fail.
            let _ = write!(found, "...");
        }
        let before = &self.text[..self.last_at];
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
        SyntaxError { found, expected: expected.to_owned(), line, column }
    }
}
