//! Asking a running node over HTTP.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use crate::net::{Trust, TrustError};

/// Bytes of an answer that are read; a node's are far shorter.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Where Debian and its relatives keep what the system trusts.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

#[derive(Debug, clap::Args)]
pub struct NodeArgs {
    /// Where the node listens.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8086")]
    url: String,
    /// File with a token that may write, for a node with auth = required.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// PEM file with the certificates to trust, for a node with TLS: its issuer's, or its own.
    #[arg(long, value_name = "FILE", default_value = SYSTEM_CERTIFICATES)]
    ca: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(
        "{url:?} is no address of a node; give http://HOST:PORT, such as http://127.0.0.1:8086, or https://HOST:PORT"
    )]
    Url { url: String },
    #[error("cannot read a token from {}: {error}; --token-file names a file that holds one token and nothing else", path.display())]
    Token { path: PathBuf, error: io::Error },
    #[error("cannot reach a node at {authority}: {error}; check that it runs and that --url is its address")]
    Unreachable { authority: String, error: io::Error },
    #[error(
        "no TLS with {authority}: {error}; check that --url has the name or address in the node's certificate, and --ca its issuer"
    )]
    Untrusted { authority: String, error: TrustError },
    #[error(
        "lost the connection to {authority} before it answered: {error}; whether it did what was asked is unknown, try again"
    )]
    Cut { authority: String, error: io::Error },
    #[error("{authority} did not answer in HTTP; check that --url is the address of a ringest node")]
    NotHttp { authority: String },
    #[error("the node at {authority} answered {status}: {message}")]
    Refused { authority: String, status: u16, message: String },
}

/// Posts to a path of the node's, without a body. What it answers, which is waited for without limit: it takes as long as the lake needs.
pub fn post(args: &NodeArgs, path: &str) -> Result<String, AskError> {
    let token = args.token_file.as_deref().map(token).transpose()?;
    let (authority, is_secure) = authority(&args.url)?;
    let mut stream = TcpStream::connect(&authority)
        .map_err(|error| AskError::Unreachable { authority: authority.clone(), error })?;
    let answer = if is_secure {
        let host = authority.rsplit_once(':').map_or(&*authority, |(host, _)| host);
        let secured = Trust::read(&args.ca).and_then(|trust| trust.connect(host, stream));
        let mut stream = secured.map_err(|error| AskError::Untrusted { authority: authority.clone(), error })?;
        ask(&mut stream, path, &authority, token.as_deref())
    } else {
        ask(&mut stream, path, &authority, token.as_deref())
    };
    let answer = answer.map_err(|error| AskError::Cut { authority: authority.clone(), error })?;
    match status(&answer) {
        Some(200..=299) => Ok(body(&String::from_utf8_lossy(&answer)).to_owned()),
        Some(status) => Err(AskError::Refused { authority, status, message: message(&answer) }),
        None if answer.is_empty() => Err(AskError::Cut { authority, error: io::ErrorKind::UnexpectedEof.into() }),
        None => Err(AskError::NotHttp { authority }),
    }
}

/// `host:port` of a URL without a path, and whether it is `https://`; port 80 or 443 when it has none.
pub fn authority(url: &str) -> Result<(String, bool), AskError> {
    let refused = || AskError::Url { url: url.to_owned() };
    let (scheme, authority) = url.split_once("://").ok_or_else(refused)?;
    let (is_secure, default_port) = match scheme {
        "http" => (false, "80"),
        "https" => (true, "443"),
        _ => return Err(refused()),
    };
    let authority = authority.trim_end_matches('/');
    if authority.is_empty() || authority.contains(|c: char| c == '/' || c == '@' || c.is_whitespace() || c.is_control())
    {
        return Err(refused());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, default_port),
    };
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(refused());
    }
    Ok((format!("{host}:{port}"), is_secure))
}

/// The token in a file. It stands in no argument: those can be seen by everybody on the machine.
pub fn token(path: &Path) -> Result<String, AskError> {
    let fail = |error| AskError::Token { path: path.to_owned(), error };
    let text = std::fs::read_to_string(path).map_err(fail)?;
    let token = text.trim();
    match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token.to_owned()),
        false => Err(fail(io::Error::new(io::ErrorKind::InvalidData, "its text is not one word"))),
    }
}

fn ask(stream: &mut (impl Read + Write), path: &str, authority: &str, token: Option<&str>) -> io::Result<Vec<u8>> {
    let credentials = token.map(|token| format!("Authorization: Token {token}\r\n")).unwrap_or_default();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\n{credentials}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The status, if this is HTTP. No interim answer can come first: the request expects none.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"HTTP/1.1 ").or(answer.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim())
}

/// What the body says: the `message` of its JSON, or all of it.
fn message(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let body = body(&text);
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let message = json.as_ref().and_then(|json| json.get("message")?.as_str());
    match message.unwrap_or(body) {
        "" => "no reason was given; see the node's log".to_owned(),
        message => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::TcpListener;

    use super::*;

    #[test]
    fn urls() {
        for (url, expected) in [
            ("http://127.0.0.1:8086", ("127.0.0.1:8086", false)),
            ("http://[::1]:8086/", ("[::1]:8086", false)),
            ("http://[::1]", ("[::1]:80", false)),
            ("http://node", ("node:80", false)),
            ("https://node", ("node:443", true)),
            ("https://[::1]:8086", ("[::1]:8086", true)),
        ] {
            let (authority, is_secure) = authority(url).unwrap();
            assert_eq!((&*authority, is_secure), expected);
        }
        for url in
            ["", "127.0.0.1:8086", "ftp://x:1", "http://", "https://", "http://x:y", "http://x:1/api", "http://x\r\n:1"]
        {
            assert!(authority(url).is_err(), "{url:?}");
        }
    }

    /// What is made of a node that answers with these bytes.
    fn answered(answer: &'static [u8]) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let node = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let filled = stream.read(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(&request[..filled]).into_owned()
        });
        let result = post(&NodeArgs { url, token_file: None, ca: SYSTEM_CERTIFICATES.into() }, "/api/flush");
        assert!(node.join().unwrap().starts_with("POST /api/flush HTTP/1.1\r\n"));
        result.map_err(|error| error.to_string())
    }

    #[test]
    fn answers() {
        assert_eq!(answered(b"HTTP/1.1 204 No Content\r\n\r\n"), Ok(String::new()));
        assert_eq!(answered(b"HTTP/1.1 200 OK\r\n\r\n{}\n"), Ok("{}".to_owned()));
        let refused =
            answered(b"HTTP/1.1 503 Service Unavailable\r\n\r\n{\"code\":\"unavailable\",\"message\":\"disk full\"}");
        assert!(refused.unwrap_err().ends_with("answered 503: disk full"));
        assert!(answered(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap_err().ends_with("see the node's log"));
        assert!(answered(b"SSH-2.0-x\r\n").unwrap_err().contains("did not answer in HTTP"));
        assert!(answered(b"").unwrap_err().contains("before it answered"));
    }
}
