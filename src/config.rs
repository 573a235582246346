//! The node's settings: what they are, where they come from and what is wrong with them.
//!
//! Every option stands once, in the table below. From it come the field of [`Config`], the flag, the environment variable, the key
//! of the TOML file, the default and the help text. A flag beats the environment, the environment beats the file, the file beats the
//! default. Nothing else in the program reads the environment.

mod basis;
mod buckets;
mod report;
mod single;
mod source;
mod value;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use basis::Basis;
pub use buckets::{BucketSettings, Buckets, DEFAULT_POLICY};
pub use report::{ConfigError, Origin, Problem};
pub use single::{flush_size, memory_limit, quota, size};
pub use source::ServeArgs;

use source::Given;
use value::{Fault, GIB, HOUR, KIB, MIB, TIB};

/// What a 204 promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A synced write of the log holds the request: it survives a power cut.
    Sync,
    /// The kernel has the request: it survives a crash of the process, not of the machine.
    Write,
    /// The points are in memory; a crash loses what no flush has published yet.
    Memory,
}

impl Durability {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Write => "write",
            Self::Memory => "memory",
        }
    }
}

/// Whether files of the lake are merged without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    Off,
    Auto,
}

impl Compaction {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
        }
    }
}

/// Whether a request has to say who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Credentials are not looked at.
    Off,
    /// What reads or writes data needs a token.
    Required,
}

impl Auth {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Required => "required",
        }
    }
}

/// Which kernel scans line protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simd {
    /// The fastest that the processor has.
    Auto,
    Avx512,
    Avx2,
    Sse2,
    Portable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// What an option has when nobody sets it.
enum DefaultValue {
    Fixed(&'static str),
    /// Computed from the machine; `says` is how the documentation puts it.
    Computed {
        says: &'static str,
        value: fn(&Basis) -> String,
    },
}

impl DefaultValue {
    const fn says(&self) -> &'static str {
        match self {
            Self::Fixed(says) | Self::Computed { says, .. } => says,
        }
    }

    fn value(&self, basis: &Basis) -> String {
        match self {
            Self::Fixed(text) => (*text).to_owned(),
            Self::Computed { value, .. } => value(basis),
        }
    }
}

/// One option that fills a field of type `T`.
struct Setting<T> {
    /// The key in TOML; with `--` in front the flag, in capitals behind `RINGEST_` the environment variable.
    key: &'static str,
    /// What the help text shows for the value.
    placeholder: &'static str,
    /// Completes the sentence "give ..." for a value that is refused.
    accepts: &'static str,
    default: DefaultValue,
    parse: fn(&str) -> Result<T, Fault>,
    /// The inverse of `parse`.
    show: fn(&T) -> String,
}

impl<T> Setting<T> {
    /// The value in force; what is wrong with it goes to `problems`.
    fn resolve(&self, given: &Given, basis: &Basis, problems: &mut Vec<Problem>) -> Option<T> {
        let (text, origin) = match given.get(self.key) {
            Some((text, origin)) => (text.to_owned(), origin.clone()),
            None => (self.default.value(basis), Origin::Default),
        };
        (self.parse)(&text)
            .map_err(|fault| {
                let why = match fault {
                    Fault::Shape => format!("give {}", self.accepts),
                    Fault::Because(why) => why,
                };
                problems.push(Problem::Impossible { key: self.key, text, origin, why });
            })
            .ok()
    }
}

/// An option as command line and documentation show it.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    pub key: &'static str,
    pub placeholder: &'static str,
    /// One sentence or more, with the blanks that a doc comment has.
    pub help: &'static str,
    pub default: &'static str,
}

/// Makes [`Config`], its settings and their descriptions from one list.
macro_rules! options {
    ($($(#[doc = $help:literal])+ $field:ident: $type:ty = $setting:expr;)+) => {
        /// What `ringest serve` runs with, every value checked.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($(#[doc = $help])+ pub $field: $type,)+
            /// The file's sections on single buckets.
            pub buckets: Buckets,
        }

        /// The options under their fields' names.
        struct Settings;

        #[allow(non_upper_case_globals)]
        impl Settings {
            $(const $field: Setting<$type> = $setting;)+
        }

        /// Every option, in the order of the documentation.
        pub const OPTIONS: &[Description] = &[
            $(Description {
                key: Settings::$field.key,
                placeholder: Settings::$field.placeholder,
                help: concat!($($help),+),
                default: Settings::$field.default.says(),
            },)+
        ];

        impl Config {
            /// Takes every value from its strongest source; `None` if any is refused.
            fn resolve(given: &Given, basis: &Basis, problems: &mut Vec<Problem>) -> Option<Self> {
                $(let $field = Settings::$field.resolve(given, basis, problems);)+
                Some(Self { $($field: $field?,)+ buckets: given.buckets.clone() })
            }

            /// Key and value of every option, in the order of [`OPTIONS`], written as the options take them.
            fn shown(&self) -> Vec<(&'static str, String)> {
                vec![$((Settings::$field.key, (Settings::$field.show)(&self.$field)),)+]
            }
        }
    };
}

options! {
    /// Address and port to listen on; port 0 takes a free one.
    listen: SocketAddr = Setting {
        key: "listen",
        placeholder: "HOST:PORT",
        accepts: "an address with its port, such as 127.0.0.1:8086, [::1]:8086 or localhost:8086",
        default: DefaultValue::Fixed("127.0.0.1:8086"),
        parse: value::address,
        show: SocketAddr::to_string,
    };

    /// Whether requests need a token (`ringest token create`); off is for loopback addresses, or with insecure.
    auth: Auth = Setting {
        key: "auth",
        placeholder: "required|off",
        accepts: "required or off",
        default: DefaultValue::Fixed("off"),
        parse: value::auth,
        show: |auth| auth.name().to_owned(),
    };

    /// Listen beyond loopback although auth is off: whoever reaches the port may write.
    insecure: bool = Setting {
        key: "insecure",
        placeholder: "true|false",
        accepts: "true or false",
        default: DefaultValue::Fixed("false"),
        parse: value::yes_or_no,
        show: bool::to_string,
    };

    /// PEM file with the certificate chain; with it and tls-key the port speaks TLS. SIGHUP reads both anew.
    tls_cert: Option<PathBuf> = Setting {
        key: "tls-cert",
        placeholder: "PATH|none",
        accepts: "the path of a file, or none",
        default: DefaultValue::Fixed("none"),
        parse: value::optional_path,
        show: value::show_optional_path,
    };

    /// PEM file with the private key of tls-cert.
    tls_key: Option<PathBuf> = Setting {
        key: "tls-key",
        placeholder: "PATH|none",
        accepts: "the path of a file, or none",
        default: DefaultValue::Fixed("none"),
        parse: value::optional_path,
        show: value::show_optional_path,
    };

    /// Most connections at once; one more is answered with 503 and closed.
    connections_max: usize = Setting {
        key: "max-connections",
        placeholder: "N",
        accepts: "a number from 1 to 1000000",
        default: DefaultValue::Fixed("20000"),
        parse: |text| value::count(text, 1, 1_000_000),
        show: usize::to_string,
    };

    /// How long a connection may be idle between requests before it is closed.
    idle_timeout: Duration = Setting {
        key: "idle-timeout",
        placeholder: "DURATION",
        accepts: "a duration from 1s to 24h, such as 5m",
        default: DefaultValue::Fixed("5m"),
        parse: |text| value::duration(text, Duration::from_secs(1), 24 * HOUR),
        show: value::show_duration,
    };

    /// How long a request's head may take, and how long its body may bring nothing, before it is answered with 408.
    request_timeout: Duration = Setting {
        key: "request-timeout",
        placeholder: "DURATION",
        accepts: "a duration from 1s to 1h, such as 30s",
        default: DefaultValue::Fixed("30s"),
        parse: |text| value::duration(text, Duration::from_secs(1), HOUR),
        show: value::show_duration,
    };

    /// Bytes per second that a body has to bring on average, request-timeout granted in advance; a slower one is answered with 408.
    body_rate_min: usize = Setting {
        key: "min-body-rate",
        placeholder: "SIZE",
        accepts: "a size from 1 to 1GiB, such as 4KiB",
        default: DefaultValue::Fixed("4KiB"),
        parse: |text| value::size(text, 1, GIB),
        show: value::show_size,
    };

    /// Bytes of bodies per second that a token may send unless it has a quota of its own; more gets 429. Needs auth.
    default_quota: Option<usize> = Setting {
        key: "default-quota",
        placeholder: "SIZE|inf",
        accepts: "a size from 1KiB to 1TiB, such as 10MB, or inf",
        default: DefaultValue::Fixed("inf"),
        parse: |text| value::optional_size(text, KIB, TIB),
        show: value::show_optional_size,
    };

    /// Folder of the data; made when missing, and used by one node at a time.
    data_dir: PathBuf = Setting {
        key: "data-dir",
        placeholder: "PATH",
        accepts: "the path of a folder",
        default: DefaultValue::Fixed("./data"),
        parse: value::path,
        show: |path| value::show_path(path),
    };

    /// Threads that receive and parse; each has its own connections and open tables.
    shards: usize = Setting {
        key: "shards",
        placeholder: "N",
        accepts: "a number from 1 to 1024",
        default: DefaultValue::Computed { says: "cores - cores/3, at least 1", value: |basis| basis.shards().to_string() },
        parse: |text| value::count(text, 1, 1024),
        show: usize::to_string,
    };

    /// Threads that sort, encode and publish Parquet.
    lake_threads: usize = Setting {
        key: "lake-threads",
        placeholder: "N",
        accepts: "a number from 1 to 1024",
        default: DefaultValue::Computed { says: "cores/3, rounded up", value: |basis| basis.lake_threads().to_string() },
        parse: |text| value::count(text, 1, 1024),
        show: usize::to_string,
    };

    /// Whether Parquet files tell readers the bounds of each page, so that they may pass over parts of a row group.
    page_index: bool = Setting {
        key: "page-index",
        placeholder: "on|off",
        accepts: "on or off",
        default: DefaultValue::Fixed("off"),
        parse: value::on_or_off,
        show: |on| if *on { "on" } else { "off" }.to_owned(),
    };

    /// Longest time that a point waits in memory before its file is written.
    flush_interval: Duration = Setting {
        key: "flush-interval",
        placeholder: "DURATION",
        accepts: "a duration from 100ms to 24h, such as 10s or 5m",
        default: DefaultValue::Fixed("10s"),
        parse: |text| value::duration(text, Duration::from_millis(100), 24 * HOUR),
        show: value::show_duration,
    };

    /// Whether small files are merged as they gather and when a day is over (auto), or only when `ringest compact` asks (off).
    compaction: Compaction = Setting {
        key: "compaction",
        placeholder: "auto|off",
        accepts: "auto or off",
        default: DefaultValue::Fixed("auto"),
        parse: value::compaction,
        show: |compaction| compaction.name().to_owned(),
    };

    /// Size of the open tables, all shards together, at which a flush starts before its time; at most a quarter of memory-limit.
    flush_bytes: usize = Setting {
        key: "flush-size",
        placeholder: "SIZE",
        accepts: "a size from 64KiB to 2GiB, such as 64MiB",
        default: DefaultValue::Computed {
            says: "64MiB times the default of shards, or an eighth of memory-limit if that is less",
            value: |basis| value::show_size(&basis.flush_bytes()),
        },
        parse: |text| value::size(text, 64 * KIB, 2 * GIB),
        show: value::show_size,
    };

    /// Most bytes of a request's body, after decompression; at most an eighth of memory-limit and a quarter of wal-size-limit.
    body_bytes_max: usize = Setting {
        key: "max-body-size",
        placeholder: "SIZE",
        accepts: "a size from 1KiB to 1GiB, such as 25000000 or 64MiB",
        default: DefaultValue::Computed {
            says: "25MB, or less where the limits are small",
            value: |basis| value::show_size(&basis.body_bytes()),
        },
        parse: |text| value::size(text, KIB, GIB),
        show: value::show_size,
    };

    /// Age beyond which points are refused, for buckets that a write creates; inf takes points of any age. Nothing stored is deleted by it alone (expiry).
    default_retention: Option<Duration> = Setting {
        key: "default-retention",
        placeholder: "DURATION|inf",
        accepts: "a duration of at least 1s, such as 72h or 30d, or inf",
        default: DefaultValue::Fixed("72h"),
        parse: value::bucket_retention,
        show: value::show_retention,
    };

    /// Whether whole days that are older than their bucket's retention are removed from the lake; a bucket's section may say otherwise.
    expiry: bool = Setting {
        key: "expiry",
        placeholder: "off|on",
        accepts: "off or on",
        default: DefaultValue::Fixed("off"),
        parse: value::on_or_off,
        show: value::show_on_or_off,
    };

    /// Whether a write to an unknown bucket creates it; if not, it gets 404.
    auto_create_buckets: bool = Setting {
        key: "auto-create-buckets",
        placeholder: "true|false",
        accepts: "true or false",
        default: DefaultValue::Fixed("true"),
        parse: value::yes_or_no,
        show: bool::to_string,
    };

    /// Most bytes of the points that are kept under rejects/, for buckets with rejects = true; the oldest files go first.
    rejects_bytes_max: usize = Setting {
        key: "rejects-size-limit",
        placeholder: "SIZE",
        accepts: "a size from 1MiB to 1TiB, such as 1GiB",
        default: DefaultValue::Fixed("1GiB"),
        parse: |text| value::size(text, MIB, TIB),
        show: value::show_size,
    };

    /// Memory that the whole process may take: bodies, open tables, sealed tables, encoder, and 64 MiB and an eighth for the rest.
    memory_bytes_max: usize = Setting {
        key: "memory-limit",
        placeholder: "SIZE",
        accepts: "a size from 192MiB to 64TiB, such as 4GiB",
        default: DefaultValue::Computed {
            says: "three quarters of what the cgroup or the machine has",
            value: |basis| value::show_size(&basis.memory_limit),
        },
        parse: |text| value::size(text, 192 * MIB, 64 * TIB),
        show: value::show_size,
    };

    /// Longest time that a shutdown may take to finish requests and publish what is in memory.
    shutdown_timeout: Duration = Setting {
        key: "shutdown-timeout",
        placeholder: "DURATION",
        accepts: "a duration from 100ms to 24h, such as 30s",
        default: DefaultValue::Fixed("30s"),
        parse: |text| value::duration(text, Duration::from_millis(100), 24 * HOUR),
        show: value::show_duration,
    };

    /// What a 204 promises: that the disk has the points (sync), that the kernel has them (write), or nothing beyond memory (memory).
    durability: Durability = Setting {
        key: "durability",
        placeholder: "sync|write|memory",
        accepts: "sync, write or memory",
        default: DefaultValue::Fixed("sync"),
        parse: value::durability,
        show: |durability| durability.name().to_owned(),
    };

    /// Most bytes of the write-ahead log on disk; a flush starts when half of it is taken, and near the end writes get 503.
    wal_bytes_max: usize = Setting {
        key: "wal-size-limit",
        placeholder: "SIZE",
        accepts: "a size from 32MiB to 64TiB, such as 8GiB",
        default: DefaultValue::Fixed("8GiB"),
        parse: |text| value::size(text, 32 * MIB, 64 * TIB),
        show: value::show_size,
    };

    /// Start although the log is damaged: what is lost is listed, and the rest is published.
    wal_skip_damaged: bool = Setting {
        key: "wal-skip-damaged",
        placeholder: "true|false",
        accepts: "true or false",
        default: DefaultValue::Fixed("false"),
        parse: value::yes_or_no,
        show: bool::to_string,
    };

    /// Kernel that scans line protocol; auto takes the fastest that the processor has.
    simd: Simd = Setting {
        key: "simd",
        placeholder: "auto|avx512|avx2|sse2|portable",
        accepts: "auto, avx512, avx2, sse2 or portable",
        default: DefaultValue::Fixed("auto"),
        parse: value::simd,
        show: value::show_simd,
    };

    /// Form of the log lines on standard error.
    log_format: LogFormat = Setting {
        key: "log-format",
        placeholder: "text|json",
        accepts: "text or json",
        default: DefaultValue::Fixed("text"),
        parse: value::log_format,
        show: value::show_log_format,
    };

    /// Which log lines are written: error, warn, info, debug or trace, also per module, such as info,ringest::lake=debug.
    log: String = Setting {
        key: "log",
        placeholder: "LEVELS",
        accepts: "error, warn, info, debug, trace or off, also per module, such as info,ringest::lake=debug",
        default: DefaultValue::Fixed("info"),
        parse: value::log_levels,
        show: String::clone,
    };
}

/// A configuration in force, and where each value came from.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// Per option, in the order of [`OPTIONS`].
    pub origins: Vec<Origin>,
    /// The file that was read; sections come from nowhere else.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// The effective configuration as a TOML file, with the origin of each value as a comment.
    pub fn to_toml(&self) -> String {
        let lines: Vec<String> =
            self.config.shown().into_iter().map(|(key, text)| format!("{key} = {}", toml_literal(text))).collect();
        let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        let options: String =
            lines.iter().zip(&self.origins).map(|(line, origin)| format!("{line:<width$}  # {origin}\n")).collect();
        let sections = self.config.buckets.to_toml();
        match &self.file {
            Some(file) if !sections.is_empty() => format!("{options}\n# {}\n{sections}", file.display()),
            _ => options + &sections,
        }
    }
}

fn toml_literal(text: String) -> String {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text } else { toml::Value::String(text).to_string() }
}

/// Reads flags, environment and file and checks every value against the machine and against the others.
///
/// # Errors
/// Everything that is wrong, each with the place where it was said.
pub fn load(args: &ServeArgs) -> Result<Loaded, ConfigError> {
    let environment = std::env::vars_os();
    let (given, problems) = source::gather(args, environment);
    resolve(&given, Basis::of_this_machine(), problems)
}

fn resolve(given: &Given, mut basis: Basis, mut problems: Vec<Problem>) -> Result<Loaded, ConfigError> {
    // Other defaults follow the limits in force, not the machine's.
    let limits =
        [(Settings::memory_bytes_max, &mut basis.memory_limit), (Settings::wal_bytes_max, &mut basis.wal_limit)];
    for (setting, limit) in limits {
        if let Some((text, _)) = given.get(setting.key)
            && let Ok(bytes) = (setting.parse)(text)
        {
            *limit = bytes;
        }
    }
    let config = Config::resolve(given, &basis, &mut problems);
    let origin_of = |key| given.get(key).map_or(Origin::Default, |(_, origin)| origin.clone());
    if let Some(config) = &config {
        problems.extend(contradictions(config, origin_of));
        problems.extend(exposures(config, origin_of));
    }
    match config {
        Some(config) if problems.is_empty() => {
            let origins = OPTIONS.iter().map(|option| origin_of(option.key)).collect();
            Ok(Loaded { config, origins, file: given.file.clone() })
        }
        _ => Err(ConfigError { problems }),
    }
}

/// Sizes that do not fit into their limits. Open tables get a quarter of the memory: as much lies sealed at the lake. A body gets an eighth:
/// it may be there compressed, decompressed and as columns of twice its size. And it gets a quarter of the log: it is one record of one
/// segment, and the next segment is made while one is being filled.
fn contradictions(config: &Config, origin_of: impl Fn(&'static str) -> Origin) -> Vec<Problem> {
    let memory = (Settings::memory_bytes_max.key, config.memory_bytes_max);
    let log = (Settings::wal_bytes_max.key, config.wal_bytes_max);
    let flush = (Settings::flush_bytes.key, config.flush_bytes);
    let body = (Settings::body_bytes_max.key, config.body_bytes_max);
    [(flush, memory, 4, "a quarter"), (body, memory, 8, "an eighth"), (body, log, 4, "a quarter")]
        .into_iter()
        .filter(|((_, bytes), (_, limit), share, _)| *bytes > limit / share)
        .map(|((key, bytes), (limit_key, limit), _, share)| Problem::TooLarge {
            key,
            share,
            text: value::show_size(&bytes),
            origin: origin_of(key),
            limit_key,
            limit_text: value::show_size(&limit),
            limit_origin: origin_of(limit_key),
        })
        .collect()
}

/// Settings that leave the door open, or half of a door.
fn exposures(config: &Config, origin_of: impl Fn(&'static str) -> Origin) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.auth == Auth::Off && !config.insecure && !config.listen.ip().to_canonical().is_loopback() {
        let origin = origin_of(Settings::listen.key);
        problems.push(Problem::Exposed { listen: config.listen.to_string(), origin });
    }
    let cert = (Settings::tls_cert.key, &config.tls_cert);
    let key = (Settings::tls_key.key, &config.tls_key);
    for ((given, value), (missing, other)) in [(cert, key), (key, cert)] {
        if value.is_some() && other.is_none() {
            problems.push(Problem::Alone { given, origin: origin_of(given), missing });
        }
    }
    if config.auth == Auth::Off && config.default_quota.is_some() {
        let given = Settings::default_quota.key;
        problems.push(Problem::Alone { given, origin: origin_of(given), missing: "auth = required" });
    }
    problems
}

#[cfg(test)]
mod tests;
