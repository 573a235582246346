//! The client's side of TLS, for commands that ask a running node. They wait as threads do, without a ring.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::tls::Fault;

/// Whose word is taken for who a node is.
pub struct Trust {
    config: Arc<ClientConfig>,
}

impl Trust {
    /// Reads certificates, each of which may vouch for a node: those of issuers, or the node's own.
    pub fn read(path: &Path) -> Result<Self, TrustError> {
        let file = |error| TrustError::File { path: path.to_owned(), error };
        let certificates: Vec<_> =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<_, _>>).map_err(file)?;
        let mut roots = RootCertStore::empty();
        // The system's collection may hold some that are too old to be understood.
        if let (0, _) = roots.add_parsable_certificates(certificates) {
            return Err(file(pem::Error::NoItemsFound));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TrustError::Handshake(io::Error::other(error)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }

    /// `socket` with TLS, once the node there has proved to be `host`: a name, or an address (IPv6 in brackets or not).
    pub fn connect(&self, host: &str, mut socket: TcpStream) -> Result<impl Read + Write + use<>, TrustError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|_| TrustError::Name { host: host.to_owned() })?;
        let session = ClientConnection::new(Arc::clone(&self.config), name);
        let mut session = session.map_err(|error| TrustError::Handshake(io::Error::other(error)))?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).map_err(TrustError::Handshake)?;
        }
        Ok(StreamOwned::new(session, socket))
    }
}

/// There is no TLS with a node.
#[derive(Debug)]
pub enum TrustError {
    File { path: PathBuf, error: pem::Error },
    Name { host: String },
    Handshake(io::Error),
}

impl std::error::Error for TrustError {}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "{} {}", path.display(), Fault(error, "certificate")),
            Self::Name { host } => write!(f, "{host:?} is neither a name nor an address"),
            Self::Handshake(error) => write!(f, "{error}"),
        }
    }
}
