//! Query parameters of the write endpoints.

use std::borrow::Cow;

use memchr::memchr2;
use percent_encoding::percent_decode;

use super::error::Refusal;
use crate::config::Buckets;
use crate::line::{Precision, echo};

/// What a write asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    pub bucket: String,
    pub precision: Precision,
}

/// The first value of `name`; percent-decoded, `+` is a space. Bytes that are not UTF-8 become U+FFFD; [`check`] finds them.
pub fn first<'a>(form: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    // Most queries have nothing to decode.
    if let Ok(text) = std::str::from_utf8(form)
        && memchr2(b'%', b'+', form).is_none()
    {
        let mut pairs = text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        return pairs.find(|(key, _)| *key == name).map(|(_, value)| value.into());
    }
    form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value)
}

/// A parameter whose value is not UTF-8; of its name as much as a sentence bears.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the parameter {name:?} is not UTF-8 once it is percent-decoded; encode it as UTF-8 (%C3%A9 is an e with acute)"
)]
pub struct NotUtf8 {
    pub name: String,
}

/// Whether all values are UTF-8 once they are decoded: replaced by U+FFFD, names of different bytes would become one bucket. Not so `u` and
/// `p`, which are judged by what they open.
pub fn check(form: &[u8]) -> Result<(), NotUtf8> {
    if form.iter().all(|byte| byte.is_ascii() && *byte != b'%') {
        return Ok(());
    }
    for pair in form.split(|byte| *byte == b'&') {
        let (name, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len()));
        let is_credential = || matches!(&*Cow::<[u8]>::from(percent_decode(name)), b"u" | b"p");
        if percent_decode(value).decode_utf8().is_err() && !is_credential() {
            return Err(NotUtf8 { name: echo(&percent_decode(name).collect::<Vec<u8>>()) });
        }
    }
    Ok(())
}

impl Params {
    /// `db`, `rp`, `precision` of `/write`. The bucket is what `db` and `rp` stand for.
    pub fn v1(query: &str, configured: &Buckets) -> Result<Self, Refusal> {
        let query = query.as_bytes();
        check(query).map_err(Refusal::NotUtf8)?;
        let db = match first(query, "db") {
            Some(db) if !db.is_empty() => db,
            _ => return Err(Refusal::MissingDb),
        };
        let bucket = configured.resolve(db, first(query, "rp").as_deref().unwrap_or_default());
        let precision = match first(query, "precision").as_deref() {
            None | Some("") => Precision::Nanosecond,
            Some(name) => Precision::named(name)
                .ok_or_else(|| Refusal::Precision { given: name.into(), accepted: Precision::NAMES })?,
        };
        Ok(Self { bucket, precision })
    }

    /// `bucket`, `precision` of `/api/v2/write`; `org` is ignored.
    pub fn v2(query: &str) -> Result<Self, Refusal> {
        let query = query.as_bytes();
        check(query).map_err(Refusal::NotUtf8)?;
        let precision = match first(query, "precision").as_deref() {
            None | Some("" | "n" | "ns") => Precision::Nanosecond,
            Some("u" | "us") => Precision::Microsecond,
            Some("ms") => Precision::Millisecond,
            Some("s") => Precision::Second,
            Some(other) => return Err(Refusal::Precision { given: other.into(), accepted: "n, ns, u, us, ms and s" }),
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
    fn what_needs_no_decoding_is_found_like_what_does() {
        let forms = [
            "",
            "db",
            "db=",
            "=db",
            "&&db=a&",
            "db=a=b",
            "dbx=1&db=2&db=3",
            "x&db&db=1",
            "rp=1&&=2&d\u{e9}b=3",
            "db=\u{1F980}",
        ];
        for form in forms.iter().map(|form| form.as_bytes()).chain([&b"db=\xff"[..], b"db=a+b%41"]) {
            for name in ["db", "rp", "d\u{e9}b", "x"] {
                let expected = form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value);
                assert_eq!(first(form, name), expected, "{name} in {form:?}");
            }
        }
    }

    #[test]
    fn values_that_are_not_utf8_are_refused_by_name() {
        let configured = Buckets::default();
        let v1 = |query: &str| match Params::v1(query, &configured) {
            Err(Refusal::NotUtf8(NotUtf8 { name })) => name,
            other => panic!("{query}: {other:?}"),
        };
        for (query, name) in [
            ("db=%ff", "db"),
            ("db=a&rp=x%C3", "rp"),
            ("db=%ED%A0%80", "db"),
            ("db=a&precision=%C0%80", "precision"),
            ("db=a&consistency=%fe", "consistency"),
            ("db=a&db=%ff", "db"),
            ("db=a&o%72g=+%ff", "org"),
        ] {
            assert_eq!(v1(query), name, "{query}");
        }
        for name in ["bucket", "org", "orgID"] {
            let result = Params::v2(&format!("precision=s&{name}=%E9t%E9&bucket=b"));
            assert!(matches!(result, Err(Refusal::NotUtf8(not)) if not.name == name));
        }
        // What is UTF-8 stays as it is, U+FFFD too; credentials are judged elsewhere.
        assert_eq!(bucket("db=%EF%BF%BD%F0%9F%A6%80&u=%ff&p=%ff"), "\u{FFFD}\u{1F980}");
        assert_eq!(bucket("db=%&rp=%zz"), "%/%zz");
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
