//! Query parameters of the write endpoints.

use std::borrow::Cow;

use super::buckets::resolve;
use super::error::Refusal;
use crate::config::Buckets;
use crate::line::Precision;

/// What a write asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    pub bucket: String,
    pub precision: Precision,
}

/// The first value of `name`; percent-decoded, `+` is a space. Bytes that are not UTF-8 become U+FFFD.
pub fn first<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
}

impl Params {
    /// `db`, `rp`, `precision` of `/write`. The bucket is what `db` and `rp` stand for.
    pub fn v1(query: &str, configured: &Buckets) -> Result<Self, Refusal> {
        let db = match first(query, "db") {
            Some(db) if !db.is_empty() => db,
            _ => return Err(Refusal::MissingDb),
        };
        let bucket = resolve(configured, db, first(query, "rp").as_deref().unwrap_or_default());
        let precision = match first(query, "precision").as_deref() {
            None | Some("" | "n" | "ns") => Precision::Nanosecond,
            Some("u" | "us" | "µs" | "μs") => Precision::Microsecond,
            Some("ms") => Precision::Millisecond,
            Some("s") => Precision::Second,
            Some("m") => Precision::Minute,
            Some("h") => Precision::Hour,
            Some(other) => {
                return Err(Refusal::Precision { given: other.into(), accepted: "n, ns, u, us, ms, s, m and h" });
            }
        };
        Ok(Self { bucket, precision })
    }

    /// `bucket`, `precision` of `/api/v2/write`; `org` is ignored.
    pub fn v2(query: &str) -> Result<Self, Refusal> {
        let precision = match first(query, "precision").as_deref() {
            None | Some("" | "n" | "ns") => Precision::Nanosecond,
            Some("u" | "us") => Precision::Microsecond,
            Some("ms") => Precision::Millisecond,
            Some("s") => Precision::Second,
            Some(other) => return Err(Refusal::Precision { given: other.into(), accepted: "ns, us, ms and s" }),
        };
        match first(query, "bucket") {
            Some(bucket) if !bucket.is_empty() => Ok(Self { bucket: bucket.into_owned(), precision }),
            _ => Err(Refusal::MissingBucket),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bucket(query: &str) -> String {
        Params::v1(query, &Buckets::default()).unwrap().bucket
    }

    #[test]
    fn the_first_value_wins_and_is_decoded() {
        assert_eq!(bucket("db=a%2Bb+c&db=x"), "a+b c");
        assert_eq!(bucket("consistency=all&db=d&rp="), "d");
        assert_eq!(bucket("db=d&rp=autogen"), "d");
        assert_eq!(bucket("db=d&rp=weekly"), "d/weekly");
        let configured = Buckets::default();
        assert!(matches!(Params::v1("precision=s", &configured), Err(Refusal::MissingDb)));
        assert!(matches!(Params::v1("db=", &configured), Err(Refusal::MissingDb)));
    }

    #[test]
    fn precisions_of_both_versions() {
        let configured = Buckets::default();
        let v1 = |precision: &str| {
            Params::v1(&format!("db=d&precision={precision}"), &configured).map(|params| params.precision)
        };
        assert_eq!(v1("").unwrap(), Precision::Nanosecond);
        assert_eq!(v1("%C2%B5s").unwrap(), Precision::Microsecond);
        assert_eq!(v1("m").unwrap(), Precision::Minute);
        assert_eq!(v1("h").unwrap(), Precision::Hour);
        assert!(matches!(v1("S"), Err(Refusal::Precision { .. })));
        assert!(matches!(Params::v2("bucket=b&precision=h"), Err(Refusal::Precision { .. })));
        assert!(matches!(Params::v2("precision=s"), Err(Refusal::MissingBucket)));
        assert_eq!(Params::v2("org=o&bucket=b&precision=us").unwrap().precision, Precision::Microsecond);
    }
}
