//! Who sends a request, and what that allows. docs/AUTH.md tells it to users.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::error::Refusal;
use super::params;
use super::quota::Quota;
use crate::auth::{self, FileError, Token, Tokens};
use crate::http::Head;

const UNKNOWN: Refusal = Refusal::Unauthorized { why: "the token is not known" };
const GARBLED: Refusal = Refusal::Unauthorized {
    why: "the Authorization header must be one of `Token TOKEN`, `Token USER:TOKEN`, `Bearer TOKEN` and `Basic` with USER:TOKEN in base64",
};

/// The tokens in force, for all shards.
#[derive(Debug)]
pub struct Gate {
    data_dir: PathBuf,
    /// Bytes per second of a token without a quota of its own.
    default_quota: Option<u64>,
    members: RwLock<Arc<Members>>,
    /// Grows when `members` is another one.
    generation: AtomicU64,
}

/// Tokens, and the quotas of those that have one, by their ids.
#[derive(Debug, Default)]
struct Members {
    tokens: Tokens,
    quotas: HashMap<String, Arc<Quota>>,
}

/// Why the tokens cannot be taken from their file again.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is gone; put it back, or revoke tokens with `ringest token revoke`", path.display())]
    Gone { path: PathBuf },
}

impl Gate {
    /// Reads the tokens of a data directory. Without a file there are none yet.
    ///
    /// # Errors
    /// The file cannot be read, or is none of ours.
    pub fn open(data_dir: &Path, default_quota: Option<usize>) -> Result<Self, FileError> {
        let default_quota = default_quota.map(|bytes| bytes as u64);
        let tokens = Tokens::new(auth::read(data_dir)?.unwrap_or_default());
        let members = Members::new(tokens, default_quota, &Members::default());
        let (members, generation) = (RwLock::new(Arc::new(members)), AtomicU64::new(0));
        Ok(Self { data_dir: data_dir.to_owned(), default_quota, members, generation })
    }

    /// Takes the tokens from the file again: requests whose head comes from now on are judged by them. Says how many there are.
    ///
    /// # Errors
    /// The file cannot be read: the tokens stay as they were.
    pub fn reload(&self) -> Result<usize, ReloadError> {
        let before = self.members();
        let tokens = match auth::read(&self.data_dir)? {
            Some(tokens) => Tokens::new(tokens),
            None if before.tokens.is_empty() => Tokens::default(),
            None => return Err(ReloadError::Gone { path: auth::path(&self.data_dir) }),
        };
        let count = tokens.len();
        let members = Arc::new(Members::new(tokens, self.default_quota, &before));
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members;
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(count)
    }

    /// How many tokens are in force.
    pub fn len(&self) -> usize {
        self.members().tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn members(&self) -> Arc<Members> {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Members {
    /// A token that was there `before` keeps its debt.
    fn new(tokens: Tokens, default_quota: Option<u64>, before: &Self) -> Self {
        let mut quotas = HashMap::new();
        for token in tokens.iter() {
            let Some(rate) = rate(token.quota(), default_quota) else { continue };
            let kept = before.quotas.get(token.id()).filter(|quota| quota.bytes_per_second() == rate);
            let quota = kept.map_or_else(|| Arc::new(Quota::new(rate)), Arc::clone);
            quotas.insert(token.id().to_owned(), quota);
        }
        Self { tokens, quotas }
    }
}

/// Bytes per second; `None`: without limit.
fn rate(quota: auth::Quota, default_quota: Option<u64>) -> Option<u64> {
    match quota {
        auth::Quota::Default => default_quota,
        auth::Quota::Unlimited => None,
        auth::Quota::BytesPerSecond(rate) => Some(rate),
    }
}

/// A shard's view of the gate: one atomic load per request tells whether it is still the newest.
#[derive(Debug)]
pub struct Door {
    gate: Arc<Gate>,
    members: Arc<Members>,
    generation: u64,
}

impl Door {
    pub fn new(gate: Arc<Gate>) -> Self {
        let generation = gate.generation.load(Ordering::SeqCst);
        let members = gate.members();
        Self { gate, members, generation }
    }

    /// Sees tokens that have changed meanwhile.
    pub fn refresh(&mut self) {
        // Before the tokens: if they change in between, the next request sees that.
        let generation = self.gate.generation.load(Ordering::SeqCst);
        if generation != self.generation {
            (self.generation, self.members) = (generation, self.gate.members());
        }
    }

    /// Who sends a request.
    ///
    /// # Errors
    /// Nobody says so, or what is said is no token of this node.
    pub fn identify(&self, head: &Head) -> Result<Client, Refusal> {
        let plain = presented(head)?;
        let token = self.members.tokens.find(&plain).ok_or(UNKNOWN)?;
        let spending = self.members.quotas.get(token.id()).map(Spending::begin);
        Ok(Client { token: Some(Arc::clone(token)), spending })
    }
}

/// Who sends a request. With authentication off that is not known, and everything is allowed.
#[derive(Clone, Debug, Default)]
pub struct Client {
    token: Option<Arc<Token>>,
    spending: Option<Spending>,
}

/// The quota that a request counts for, and when the request began, on the quota's clock.
#[derive(Clone, Debug)]
struct Spending {
    quota: Arc<Quota>,
    since_ns: u64,
}

impl Spending {
    fn begin(quota: &Arc<Quota>) -> Self {
        Self { quota: Arc::clone(quota), since_ns: quota.now_ns() }
    }
}

impl Client {
    /// Whether the client may write to `bucket`, and make it if it is not there.
    pub fn may_write(&self, bucket: &str) -> bool {
        self.token.as_ref().is_none_or(|token| token.may_write(bucket))
    }

    pub fn may_read(&self, bucket: &str) -> bool {
        self.token.as_ref().is_none_or(|token| token.may_read(bucket))
    }

    /// Whether the client may know that there is a `bucket`.
    pub fn may_see(&self, bucket: &str) -> bool {
        self.may_read(bucket) || self.may_write(bucket)
    }

    /// Whether there is any bucket that the client may write to.
    pub fn may_write_somewhere(&self) -> bool {
        self.token.as_ref().is_none_or(|token| !token.write_patterns().is_empty())
    }

    /// # Errors
    /// The client may not write to `bucket`.
    pub fn permit_write(&self, bucket: &str) -> Result<(), Refusal> {
        const WHY: &str = "insufficient permissions for write: none of the token's write patterns matches the bucket";
        if self.may_write(bucket) { Ok(()) } else { Err(Refusal::Unauthorized { why: WHY }) }
    }

    /// # Errors
    /// The client may not ask for a flush or a compaction: it has nothing that could be flushed or merged.
    pub fn permit_upkeep(&self) -> Result<(), Refusal> {
        const WHY: &str = "insufficient permissions for a flush or a compaction: the token may write to no bucket";
        if self.may_write_somewhere() { Ok(()) } else { Err(Refusal::Unauthorized { why: WHY }) }
    }

    /// # Errors
    /// The client may not be told what changes in all buckets.
    pub fn permit_changes(&self) -> Result<(), Refusal> {
        const WHY: &str =
            "insufficient permissions for the changes of the lake: the token may not read every bucket (`--read '*'`)";
        if self.token.as_ref().is_none_or(|token| token.may_read_all()) {
            Ok(())
        } else {
            Err(Refusal::Unauthorized { why: WHY })
        }
    }

    /// # Errors
    /// The client has sent more than its quota.
    pub fn check_quota(&self) -> Result<(), Refusal> {
        let Some(Spending { quota, since_ns }) = &self.spending else { return Ok(()) };
        quota.check(*since_ns).map_err(|retry_after_seconds| Refusal::Quota { retry_after_seconds })
    }

    /// Counts a body of so many bytes, as it was received.
    pub fn sent(&self, bytes: usize) {
        if let Some(Spending { quota, since_ns }) = &self.spending {
            quota.take(*since_ns, bytes);
        }
    }
}

/// The token's text in a request: `u` and `p` of the URL beat the header.
fn presented(head: &Head) -> Result<Cow<'_, str>, Refusal> {
    if let Some(password) = password(&head.query) {
        return Ok(password);
    }
    let header = head.authorization.as_deref().map(str::trim).filter(|header| !header.is_empty());
    let header = header.ok_or(Refusal::NoCredentials)?;
    let (scheme, rest) = header.split_once(' ').ok_or(GARBLED)?;
    let rest = rest.trim_start_matches(' ');
    // Several headers arrive as one list. Which of them counts is not ours to guess; and no token holds a blank.
    if rest.is_empty() || rest.contains([' ', '\t', ',']) {
        return Err(GARBLED);
    }
    if scheme.eq_ignore_ascii_case("Token") {
        return Ok(rest.split_once(':').map_or(rest, |(_user, token)| token).into());
    }
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Ok(rest.into());
    }
    match basic(rest) {
        Some(token) if scheme.eq_ignore_ascii_case("Basic") => Ok(token.into()),
        _ => Err(GARBLED),
    }
}

/// `p`, if `u` and `p` are both there. Who `u` is does not matter.
fn password(query: &str) -> Option<Cow<'_, str>> {
    let first = |name| params::first(query.as_bytes(), name).filter(|value| !value.is_empty());
    first("u").and(first("p"))
}

/// The text behind the first colon of `user:token` in base64, with or without padding.
fn basic(text: &str) -> Option<String> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    static ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
    let pair = String::from_utf8(ENGINE.decode(text).ok()?).ok()?;
    let (_user, token) = pair.split_once(':')?;
    Some(token.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn found(query: &str, header: Option<&str>) -> Result<String, u16> {
        let head = Head { query: query.into(), authorization: header.map(str::to_owned), ..Head::default() };
        presented(&head).map(Cow::into_owned).map_err(|refusal| refusal.kind().0.code())
    }

    #[test]
    fn every_scheme_names_its_token() {
        for (query, header, token) in [
            ("u=any&p=t", None, "t"),
            ("p=a%2Bb&u=%20", Some("Token other"), "a+b"),
            ("u=&p=t", Some("Token header"), "header"),
            ("p=t", Some("Token header"), "header"),
            ("", Some("Token t"), "t"),
            ("", Some("tOKEN   t "), "t"),
            ("", Some("Token user:t"), "t"),
            ("", Some("Token :t"), "t"),
            ("", Some("Token user:a:b"), "a:b"),
            ("", Some("bearer t"), "t"),
            ("", Some("Basic dXNlcjp0"), "t"),
            ("", Some("BASIC Ong="), "x"),
            ("", Some("Basic Ong"), "x"),
        ] {
            assert_eq!(found(query, header).as_deref(), Ok(token), "{query} {header:?}");
        }
    }

    #[test]
    fn nothing_is_403_and_garbled_is_401() {
        for (query, header) in
            [("", None), ("u=a", None), ("p=t", None), ("u=&p=t", None), ("u=a&p=", Some("")), ("", Some(" "))]
        {
            assert_eq!(found(query, header), Err(403), "{query} {header:?}");
        }
        for header in [
            "Token",
            "Bearer",
            "t",
            "Digest t",
            "Token a b",
            "Token a, Token b",
            "Token a, Basic x:b",
            "Basic a:b",
            "Basic dXNlcg==",
            "Basic dXNlcjp0, Basic dXNlcjp0",
            "Basic /w==",
            "Basic",
            ", Token a",
        ] {
            assert_eq!(found("", Some(header)), Err(401), "{header}");
        }
    }
}
