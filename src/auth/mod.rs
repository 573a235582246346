//! Tokens: what they are made of, what they allow, and the file that keeps them. Nothing here knows of HTTP.
//!
//! A token is `<id>.<secret>`. The id, twelve hexadecimal digits, finds it; the secret, 256 random bits, proves it. The file has a salted
//! SHA-256 of the secret only: a slow hash protects passwords that can be guessed, and nobody guesses 256 bits.

mod file;
mod pattern;
mod token;

use std::collections::HashMap;
use std::sync::Arc;

pub use file::{FileError, edit, path, read};
pub use pattern::{Pattern, PatternError};
pub use token::{Grant, PlainToken, Quota, Token};

/// The tokens of a node, by their ids.
#[derive(Debug, Default)]
pub struct Tokens(HashMap<String, Arc<Token>>);

impl Tokens {
    pub fn new(tokens: Vec<Token>) -> Self {
        Self(tokens.into_iter().map(|token| (token.id().to_owned(), Arc::new(token))).collect())
    }

    /// The token that `plain` is the text of. It takes as long for an unknown id as for a wrong secret.
    pub fn find(&self, plain: &str) -> Option<&Arc<Token>> {
        let (id, secret) = plain.split_once('.')?;
        let known = self.0.get(id);
        let is_right = token::is_secret_of(known.map(Arc::as_ref), secret);
        known.filter(|_| is_right)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Token>> {
        self.0.values()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
