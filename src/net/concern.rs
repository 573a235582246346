//! What a node can live with that its operator should know: certificates that time is up for, and a key that others can read.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate that ends within this time is to be renewed.
const RENEWAL_SECONDS: i64 = 14 * DAY_SECONDS;
const DAY_SECONDS: i64 = 24 * 3600;

/// Bits of a file's mode by which its group and all others can read it.
const READABLE_BY_OTHERS: u32 = 0o044;

/// When a certificate holds, in seconds since 1970; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    not_before: i64,
    not_after: i64,
}

impl Validity {
    /// `None`: this is no certificate; whoever uses it finds that out.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let validity = parsed.validity();
        Some(Self { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
    }

    fn concern(self, now_s: i64) -> Option<When> {
        let left_s = self.not_after.saturating_sub(now_s);
        if now_s < self.not_before {
            Some(When::NotYet)
        } else if left_s < 0 {
            Some(When::Expired)
        } else {
            (left_s < RENEWAL_SECONDS).then_some(When::Soon { days: left_s / DAY_SECONDS })
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    NotYet,
    Expired,
    Soon { days: i64 },
}

/// A sentence for the log.
#[derive(Debug)]
pub struct Concern(What);

#[derive(Debug)]
enum What {
    /// `number` of the certificates in the file, from 1.
    Certificate {
        path: PathBuf,
        number: usize,
        when: When,
    },
    Key {
        path: PathBuf,
        mode: u32,
    },
}

/// About a file's certificates, in their order.
pub(super) fn of_certificates(path: &Path, validities: &[Option<Validity>], now_s: i64) -> Vec<Concern> {
    let concern = |(index, validity): (usize, &Option<Validity>)| {
        let when = validity.as_ref()?.concern(now_s)?;
        Some(Concern(What::Certificate { path: path.to_owned(), number: index + 1, when }))
    };
    validities.iter().enumerate().filter_map(concern).collect()
}

/// About the file of a private key.
pub(super) fn of_key(path: &Path) -> Option<Concern> {
    // A file that is gone since it was read is nobody's to read.
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & READABLE_BY_OTHERS != 0).then(|| Concern(What::Key { path: path.to_owned(), mode: mode & 0o7777 }))
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            What::Certificate { path, number, when } => {
                write!(f, "tls-cert: certificate {number} in {} ", path.display())?;
                match when {
                    When::NotYet => f.write_str(
                        "is not valid yet: clients refuse it; look at this machine's clock, or give another",
                    ),
                    When::Expired => f.write_str("has expired: clients refuse it; renew it and send SIGHUP"),
                    When::Soon { days: 0 } => f.write_str("expires within a day; renew it and send SIGHUP"),
                    When::Soon { days } => write!(f, "expires in {days} days; renew it and send SIGHUP"),
                }
            }
            What::Key { path, mode } => {
                let path = path.display();
                write!(
                    f,
                    "tls-key: {path} has mode {mode:04o}: others than its owner can read it, and be this node; chmod 600"
                )
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_of_concern_outside_its_time_and_near_its_end() {
        let end = 100 * DAY_SECONDS;
        let validity = Validity { not_before: 1000, not_after: end };
        for (now_s, when) in [
            (999, Some(When::NotYet)),
            (1000, None),
            (end - RENEWAL_SECONDS, None),
            (end - RENEWAL_SECONDS + 1, Some(When::Soon { days: 13 })),
            (end - 1, Some(When::Soon { days: 0 })),
            (end, Some(When::Soon { days: 0 })),
            (end + 1, Some(When::Expired)),
            (i64::MAX, Some(When::Expired)),
            (i64::MIN, Some(When::NotYet)),
        ] {
            assert_eq!(validity.concern(now_s), when, "{now_s}");
        }
    }

    #[test]
    fn the_time_of_a_certificate_is_read_and_what_is_none_has_none() {
        let mut params = rcgen::CertificateParams::new(["node".to_owned()]).unwrap();
        // A GeneralizedTime at one end, a UTCTime at the other.
        params.not_before = rcgen::date_time_ymd(1975, 1, 1);
        params.not_after = rcgen::date_time_ymd(4096, 1, 1);
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let (not_before, not_after) = (157_766_400, 67_090_118_400);
        assert_eq!(Validity::of(made.der()), Some(Validity { not_before, not_after }));
        for cut in 0..made.der().len() {
            assert_eq!(Validity::of(&made.der()[..cut].to_vec().into()), None, "cut at {cut}");
        }
    }
}
