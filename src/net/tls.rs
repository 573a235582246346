//! The port's TLS: certificate and key, read at start and again when asked to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::concern::{self, Concern, Validity};
use super::session::Session;
use crate::budget::Budget;

/// The only protocol inside; a client that offers others alone is refused in the handshake.
const ALPN: &[u8] = b"http/1.1";

/// What all connections of a TLS port share.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    budget: Arc<Budget>,
    /// What the next connection begins with; those that are open keep what they began with.
    identity: RwLock<Identity>,
}

/// What both files say.
struct Identity {
    config: Arc<ServerConfig>,
    /// Of the chain's certificates, in their order.
    validities: Vec<Option<Validity>>,
}

impl Tls {
    /// Reads the chain of certificates and the key that fits its first one; both files are PEM, and may be one file.
    pub fn open(certificate: &Path, key: &Path, budget: &Arc<Budget>) -> Result<Self, TlsError> {
        let identity = read(certificate, key)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            budget: Arc::clone(budget),
            identity: RwLock::new(identity),
        })
    }

    /// Reads both files anew, for the connections to come. On an error everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let identity = read(&self.certificate, &self.key)?;
        *self.identity.write().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(())
    }

    /// What the operator should know of the two files; `now_s` is the time in seconds since 1970.
    pub fn concerns(&self, now_s: i64) -> Vec<Concern> {
        let mut concerns = concern::of_certificates(&self.certificate, &self.identity().validities, now_s);
        concerns.extend(concern::of_key(&self.key));
        concerns
    }

    fn identity(&self) -> RwLockReadGuard<'_, Identity> {
        self.identity.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection's side of TLS.
    pub(super) fn session(&self) -> Result<Session, rustls::Error> {
        let config = Arc::clone(&self.identity().config);
        Ok(Session::new(ServerConnection::new(config)?, &self.budget))
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = match chain {
        Ok(chain) if chain.is_empty() => Err(pem::Error::NoItemsFound),
        result => result,
    };
    let chain = chain.map_err(|error| TlsError::Certificate { path: certificate.to_owned(), error })?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::Key { path: key.to_owned(), error })?;
    let pair = |error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        error => TlsError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), error },
    };
    let validities = chain.iter().map(Validity::of).collect();
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Clients come back without a signature, and nothing is kept about them here. Its keys are new with each reading: no session
    // outlives the certificate that it was begun with by coming back.
    config.ticketer = ring::Ticketer::new().map_err(pair)?;
    Ok(Identity { config: Arc::new(config), validities })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
impl Tls {
    /// With a new certificate for `node`, which clients have to trust.
    pub fn self_signed(budget: &Arc<Budget>) -> (Self, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["node".to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let pem = dir.path().join("both.pem");
        std::fs::write(&pem, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
        (Self::open(&pem, &pem, budget).unwrap(), made.cert.der().clone())
    }
}

/// Certificate and key cannot be used.
#[derive(Debug)]
pub enum TlsError {
    Certificate { path: PathBuf, error: pem::Error },
    Key { path: PathBuf, error: pem::Error },
    Mismatch { certificate: PathBuf, key: PathBuf },
    Unusable { certificate: PathBuf, key: PathBuf, error: rustls::Error },
}

impl std::error::Error for TlsError {}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { path, error } => {
                write!(f, "tls-cert: {} {}; give a PEM file", path.display(), Fault(error, "certificate"))?;
                f.write_str(" with the server's certificate and, behind it, those of its issuers")
            }
            Self::Key { path, error } => {
                write!(f, "tls-key: {} {}; give a PEM file", path.display(), Fault(error, "private key"))?;
                f.write_str(" with the private key of tls-cert (PKCS #8, PKCS #1 or SEC1), not encrypted")
            }
            Self::Mismatch { certificate, key } => write!(
                f,
                "the private key in {} is not that of the first certificate in {}; give the pair, the server's certificate first",
                key.display(),
                certificate.display()
            ),
            Self::Unusable { certificate, key, error } => write!(
                f,
                "the certificate in {} and the key in {} cannot be used: {error}; give an X.509 certificate with an ECDSA (P-256, P-384), \
                 Ed25519 or RSA (2048 bits or more) key",
                certificate.display(),
                key.display()
            ),
        }
    }
}

/// What is wrong with a PEM file that should hold something. Never what it does hold: that may be a key.
pub(super) struct Fault<'a>(pub &'a pem::Error, pub &'static str);

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            pem::Error::Io(error) => write!(f, "cannot be read ({error})"),
            pem::Error::NoItemsFound => write!(f, "holds no {} in PEM", self.1),
            pem::Error::MissingSectionEnd { .. } => f.write_str("ends within a section"),
            pem::Error::Base64Decode(_) => f.write_str("holds a section that is no base64"),
            _ => f.write_str("is no PEM"),
        }
    }
}
