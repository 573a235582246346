//! Values as people write them. Every `show_` is the inverse of its parser.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::report::nearest;
use super::{Auth, Durability, LogFormat, Simd};

pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;
pub const GIB: usize = 1 << 30;
pub const TIB: usize = 1 << 40;

pub const HOUR: Duration = Duration::from_secs(3600);
pub const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Longest first, so that a size is shown in the largest unit that divides it.
const SIZE_UNITS: [(&str, usize); 8] = [
    ("TiB", TIB),
    ("GiB", GIB),
    ("MiB", MIB),
    ("KiB", KIB),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

/// Why a text is no value of an option.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not have the form, or is outside of the range, that the option states.
    Shape,
    /// A reason of its own, with what to do.
    Because(String),
}

/// `host:port`; a name is resolved, its first IPv4 address preferred.
pub fn address(text: &str) -> Result<SocketAddr, Fault> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or(Fault::Shape)?;
    if host.is_empty() || host.contains(':') || port.parse::<u16>().is_err() {
        return Err(Fault::Shape);
    }
    let found: Vec<SocketAddr> = text
        .to_socket_addrs()
        .map_err(|error| {
            Fault::Because(format!("{host:?} does not resolve ({error}); give an address, or a name that resolves"))
        })?
        .collect();
    found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first())
        .copied()
        .ok_or_else(|| Fault::Because(format!("{host:?} has no address; give an address, or a name that resolves")))
}

pub fn path(text: &str) -> Result<PathBuf, Fault> {
    if text.is_empty() || text.contains('\0') { Err(Fault::Shape) } else { Ok(PathBuf::from(text)) }
}

pub fn show_path(path: &Path) -> String {
    path.display().to_string()
}

pub fn optional_path(text: &str) -> Result<Option<PathBuf>, Fault> {
    if text == "none" { Ok(None) } else { path(text).map(Some) }
}

pub fn show_optional_path(path: &Option<PathBuf>) -> String {
    path.as_deref().map_or_else(|| "none".to_owned(), show_path)
}

pub fn count(text: &str, min: usize, max: usize) -> Result<usize, Fault> {
    let number = digits(text)?;
    if (min..=max).contains(&number) { Ok(number) } else { Err(Fault::Shape) }
}

/// Bytes: a whole number, alone or with B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).
pub fn size(text: &str, min: usize, max: usize) -> Result<usize, Fault> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = unit.trim_start();
    let factor = match SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() || unit.eq_ignore_ascii_case("b") => 1,
        None => return Err(Fault::Shape),
    };
    let bytes = digits(number)?.checked_mul(factor).ok_or(Fault::Shape)?;
    if (min..=max).contains(&bytes) { Ok(bytes) } else { Err(Fault::Shape) }
}

pub fn show_size(bytes: &usize) -> String {
    match SIZE_UNITS.iter().find(|(_, factor)| *bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

pub fn optional_size(text: &str, min: usize, max: usize) -> Result<Option<usize>, Fault> {
    if text.eq_ignore_ascii_case("inf") { Ok(None) } else { size(text, min, max).map(Some) }
}

pub fn show_optional_size(bytes: &Option<usize>) -> String {
    bytes.as_ref().map_or_else(|| "inf".to_owned(), show_size)
}

/// Digits only: `FromStr` would take a plus sign too.
fn digits(text: &str) -> Result<usize, Fault> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| Fault::Shape)
    } else {
        Err(Fault::Shape)
    }
}

pub fn duration(text: &str, min: Duration, max: Duration) -> Result<Duration, Fault> {
    let duration = humantime::parse_duration(text).map_err(|_| Fault::Shape)?;
    if (min..=max).contains(&duration) { Ok(duration) } else { Err(Fault::Shape) }
}

/// In the largest unit that divides it, hours at most.
pub fn show_duration(duration: &Duration) -> String {
    let ns = duration.as_nanos();
    [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)]
        .into_iter()
        .find(|(_, factor)| ns.is_multiple_of(*factor))
        .map_or_else(|| format!("{ns}ns"), |(unit, factor)| format!("{}{unit}", ns / factor))
}

pub fn retention(text: &str, min: Duration, max: Duration) -> Result<Option<Duration>, Fault> {
    if text.eq_ignore_ascii_case("inf") { Ok(None) } else { duration(text, min, max).map(Some) }
}

/// Of a bucket, by the option or by its section.
pub fn bucket_retention(text: &str) -> Result<Option<Duration>, Fault> {
    retention(text, Duration::from_secs(1), 200 * YEAR)
}

pub fn show_retention(retention: &Option<Duration>) -> String {
    retention.as_ref().map_or_else(|| "inf".to_owned(), show_duration)
}

pub fn durability(text: &str) -> Result<Durability, Fault> {
    Ok(match choice(text, &["sync", "write", "memory"])? {
        "sync" => Durability::Sync,
        "write" => Durability::Write,
        _ => Durability::Memory,
    })
}

pub fn auth(text: &str) -> Result<Auth, Fault> {
    choice(text, &["required", "off"]).map(|name| if name == "required" { Auth::Required } else { Auth::Off })
}

pub fn yes_or_no(text: &str) -> Result<bool, Fault> {
    text.parse().map_err(|_| Fault::Shape)
}

pub fn on_or_off(text: &str) -> Result<bool, Fault> {
    choice(text, &["on", "off"]).map(|name| name == "on")
}

pub fn simd(text: &str) -> Result<Simd, Fault> {
    let (simd, present) = match choice(text, &["auto", "avx512", "avx2", "sse2", "portable"])? {
        "avx512" => (Simd::Avx512, processor_has_avx512()),
        "avx2" => (Simd::Avx2, processor_has_avx2()),
        "sse2" => (Simd::Sse2, cfg!(target_arch = "x86_64")),
        "portable" => (Simd::Portable, true),
        _ => (Simd::Auto, true),
    };
    if present {
        Ok(simd)
    } else {
        Err(Fault::Because(format!("this processor has no {text}; give auto, which takes the fastest that it has")))
    }
}

fn processor_has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return processor_has_avx2()
        && std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512vl");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

fn processor_has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("popcnt");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

pub fn show_simd(simd: &Simd) -> String {
    match simd {
        Simd::Auto => "auto",
        Simd::Avx512 => "avx512",
        Simd::Avx2 => "avx2",
        Simd::Sse2 => "sse2",
        Simd::Portable => "portable",
    }
    .to_owned()
}

pub fn log_format(text: &str) -> Result<LogFormat, Fault> {
    choice(text, &["text", "json"]).map(|name| if name == "json" { LogFormat::Json } else { LogFormat::Text })
}

pub fn show_log_format(format: &LogFormat) -> String {
    match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
    .to_owned()
}

pub fn log_levels(text: &str) -> Result<String, Fault> {
    // A lone word that is no level would be taken as a module's name and silence everything else.
    let level_or_rule = |part: &str| {
        !part.is_empty() && (part.contains('=') || tracing::level_filters::LevelFilter::from_str(part).is_ok())
    };
    if text.split(',').all(|part| level_or_rule(part.trim())) && EnvFilter::try_new(text).is_ok() {
        Ok(text.to_owned())
    } else {
        Err(Fault::Shape)
    }
}

/// The one of `names` that `text` is.
fn choice(text: &str, names: &[&'static str]) -> Result<&'static str, Fault> {
    names.iter().find(|name| **name == text).copied().ok_or_else(|| match nearest(text, names.iter().copied()) {
        Some(near) => Fault::Because(format!("did you mean {near}? The choices are {}", names.join(", "))),
        None => Fault::Shape,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn sizes() {
        let any = |text| size(text, 0, usize::MAX);
        assert_eq!(any("25000000"), Ok(25_000_000));
        assert_eq!(any("64KiB"), Ok(65_536));
        assert_eq!(any("1 GiB"), Ok(GIB));
        assert_eq!(any("25mb"), Ok(25_000_000));
        assert_eq!(any("12B"), Ok(12));
        for refused in ["", "KiB", "+1", "-1", "1.5GiB", "1XB", "1 0", "99999999999999999999", "99999999TiB"] {
            assert_eq!(any(refused), Err(Fault::Shape), "{refused:?}");
        }
        assert_eq!(size("9", 10, 20), Err(Fault::Shape));
        assert_eq!(size("21", 10, 20), Err(Fault::Shape));
        for (bytes, shown) in [(0, "0"), (999, "999"), (25_000_000, "25MB"), (GIB, "1GiB"), (1536, "1536")] {
            assert_eq!(show_size(&bytes), shown);
            assert_eq!(any(shown), Ok(bytes));
        }
    }

    #[test]
    fn durations() {
        for text in ["72h", "10s", "100ms", "90m", "1us", "1ns"] {
            assert_eq!(show_duration(&duration(text, Duration::ZERO, YEAR).unwrap()), text);
        }
        assert_eq!(retention("inf", HOUR, YEAR), Ok(None));
        assert_eq!(retention("3d", HOUR, YEAR), Ok(Some(72 * HOUR)));
        assert_eq!(duration("10", Duration::ZERO, YEAR), Err(Fault::Shape));
        assert_eq!(duration("-1s", Duration::ZERO, YEAR), Err(Fault::Shape));
        assert_eq!(duration("2h", Duration::ZERO, HOUR), Err(Fault::Shape));
    }

    #[test]
    fn addresses() {
        assert_eq!(address("127.0.0.1:8086").unwrap().to_string(), "127.0.0.1:8086");
        assert_eq!(address("[::1]:0").unwrap().to_string(), "[::1]:0");
        assert_eq!(address("localhost:8086").unwrap().port(), 8086);
        for refused in ["", "8086", ":8086", "::1", "localhost", "127.0.0.1:99999", "127.0.0.1:"] {
            assert_eq!(address(refused), Err(Fault::Shape), "{refused:?}");
        }
        assert!(matches!(address("no-such-host.invalid:8086"), Err(Fault::Because(_))));
    }

    #[test]
    fn choices_name_the_nearest() {
        assert_eq!(simd("auto"), Ok(Simd::Auto));
        assert_eq!(simd("portable"), Ok(Simd::Portable));
        let Err(Fault::Because(why)) = simd("portabel") else { panic!("taken") };
        assert!(why.contains("did you mean portable?"), "{why}");
        assert_eq!(simd("neon"), Err(Fault::Shape));
        assert_eq!(durability("write"), Ok(Durability::Write));
        assert_eq!(durability("fsync").map_err(|_| ()), Err(()));
        assert_eq!((yes_or_no("true"), yes_or_no("yes")), (Ok(true), Err(Fault::Shape)));
    }

    #[test]
    fn log_levels_are_levels_or_rules() {
        assert!(log_levels("info,ringest::lake=debug").is_ok());
        assert!(log_levels("off").is_ok());
        for refused in ["", "verbose", "info,", "ringest=loud"] {
            assert_eq!(log_levels(refused), Err(Fault::Shape), "{refused:?}");
        }
    }
}
