//! One token: its secret, and what it allows.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::pattern::Pattern;

const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;

/// How fast a token may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quota {
    /// As the node says.
    Default,
    Unlimited,
    BytesPerSecond(u64),
}

/// What a token is made for.
#[derive(Clone, Debug)]
pub struct Grant {
    /// For people; no two tokens share one.
    pub name: String,
    /// Buckets that may be written to, and made by that.
    pub write: Vec<Pattern>,
    /// Buckets that may be read.
    pub read: Vec<Pattern>,
    pub quota: Quota,
    /// RFC 3339.
    pub created: String,
}

/// A token as it is kept: without its secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    id: String,
    name: String,
    write: Vec<Pattern>,
    read: Vec<Pattern>,
    quota: Quota,
    created: String,
    #[serde(with = "base64_text")]
    salt: [u8; SALT_BYTES],
    /// SHA-256 of the salt and the secret's text.
    #[serde(with = "base64_text")]
    digest: [u8; DIGEST_BYTES],
}

/// The text that a client sends. It is told once, when the token is made, and kept nowhere.
pub struct PlainToken(String);

impl PlainToken {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainToken(..)")
    }
}

/// Without salt and digest: a debug line may end in a log.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Token {
    /// A new token, and the text that its owner needs.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(grant: Grant) -> Result<(Self, PlainToken), getrandom::Error> {
        let (mut id, mut secret, mut salt) = ([0; ID_BYTES], [0; SECRET_BYTES], [0; SALT_BYTES]);
        for bytes in [&mut id[..], &mut secret, &mut salt] {
            getrandom::fill(bytes)?;
        }
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let plain = PlainToken(format!("{id}.{secret}"));
        let Grant { name, write, read, quota, created } = grant;
        Ok((Self { id, name, write, read, quota, created, salt, digest: digest(&salt, &secret) }, plain))
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn quota(&self) -> Quota {
        self.quota
    }

    pub fn created(&self) -> &str {
        &self.created
    }

    pub fn write_patterns(&self) -> &[Pattern] {
        &self.write
    }

    pub fn read_patterns(&self) -> &[Pattern] {
        &self.read
    }

    /// Whether the token may write to `bucket`, and make it if it is not there.
    pub fn may_write(&self, bucket: &str) -> bool {
        self.write.iter().any(|pattern| pattern.matches(bucket))
    }

    pub fn may_read(&self, bucket: &str) -> bool {
        self.read.iter().any(|pattern| pattern.matches(bucket))
    }

    /// Whether the token may read every bucket that there is or will be.
    pub fn may_read_all(&self) -> bool {
        self.read.iter().any(Pattern::matches_all)
    }
}

/// Whether `secret` is that of `token`; without a token the same work is done, for nothing.
pub(super) fn is_secret_of(token: Option<&Token>, secret: &str) -> bool {
    let (salt, expected) = token.map_or(([0; SALT_BYTES], [0; DIGEST_BYTES]), |token| (token.salt, token.digest));
    let is_equal = digest(&salt, secret).ct_eq(&expected);
    token.is_some() && is_equal.into()
}

fn digest(salt: &[u8; SALT_BYTES], secret: &str) -> [u8; DIGEST_BYTES] {
    Sha256::new().chain_update(salt).chain_update(secret).finalize().into()
}

/// Bytes as the file has them.
mod base64_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Engine, URL_SAFE_NO_PAD};

    pub fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| D::Error::custom("not base64url without padding"))?;
        bytes.try_into().map_err(|_| D::Error::custom("not the right number of bytes"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::auth::Tokens;

    fn grant(name: &str) -> Grant {
        let write = vec![Pattern::try_from("telegraf*".to_owned()).unwrap()];
        Grant { name: name.into(), write, read: Vec::new(), quota: Quota::Default, created: String::new() }
    }

    #[test]
    fn only_the_whole_text_is_the_token() {
        let (token, plain) = Token::new(grant("a")).unwrap();
        let (other, other_plain) = Token::new(grant("b")).unwrap();
        let tokens = Tokens::new(vec![token, other]);
        let plain = plain.as_str();
        let (id, secret) = plain.split_once('.').unwrap();
        let (other_id, other_secret) = other_plain.as_str().split_once('.').unwrap();
        assert_eq!(tokens.find(plain).unwrap().name(), "a");
        assert_eq!(tokens.find(other_plain.as_str()).unwrap().name(), "b");
        let unknown = [
            String::new(),
            ".".into(),
            secret.into(),
            format!("{id}."),
            format!("{id}.{other_secret}"),
            format!("{other_id}.{secret}"),
            format!("{plain}x"),
            plain[..plain.len() - 1].into(),
            format!("ffffffffffff.{secret}"),
            format!(" {plain}"),
        ];
        for text in unknown {
            assert!(tokens.find(&text).is_none(), "{text:?}");
        }
    }

    /// `user:token` is cut at the first colon, a list at a comma, a command line at a blank; and a word with `-` is an option.
    #[test]
    fn the_text_survives_headers_urls_and_command_lines() {
        for _ in 0..50 {
            let (token, plain) = Token::new(grant("a")).unwrap();
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            assert!(plain.as_str().bytes().all(is_plain), "{}", plain.as_str());
            assert!(plain.as_str().as_bytes()[0].is_ascii_hexdigit());
            assert_eq!(plain.as_str().len(), 2 * ID_BYTES + 1 + 43);
            let shown = format!("{plain:?} {token:?}");
            assert!(!shown.contains(plain.as_str().split_once('.').unwrap().1), "{shown}");
        }
    }
}
