//! Single values as the options take them, for commands other than `serve`.

use super::{Settings, value};

/// A memory limit as `memory-limit` takes it, in bytes.
///
/// # Errors
/// It is none; the sentence says what would be one.
pub fn memory_limit(text: &str) -> Result<usize, String> {
    let setting = &Settings::memory_bytes_max;
    (setting.parse)(text).map_err(|_| format!("give {}", setting.accepts))
}

/// A size of open tables as `flush-size` takes it, in bytes.
///
/// # Errors
/// It is none; the sentence says what would be one.
pub fn flush_size(text: &str) -> Result<usize, String> {
    let setting = &Settings::flush_bytes;
    (setting.parse)(text).map_err(|_| format!("give {}", setting.accepts))
}

/// A quota as `default-quota` takes it, in bytes per second; `None` is without limit.
///
/// # Errors
/// It is none; the sentence says what would be one.
pub fn quota(text: &str) -> Result<Option<usize>, String> {
    let setting = &Settings::default_quota;
    (setting.parse)(text).map_err(|_| format!("give {}", setting.accepts))
}

/// A size of anything, in bytes.
///
/// # Errors
/// It is none; the sentence says what would be one.
pub fn size(text: &str) -> Result<usize, String> {
    value::size(text, 0, usize::MAX).map_err(|_| "give a number of bytes, such as 25000000, 25MB or 64KiB".to_owned())
}
