#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::source::{gather, variable_name};
use super::*;

const BASIS: Basis = Basis { cores: 8, memory_limit: 8 * GIB, wal_limit: 8 * GIB };

/// Three values per option, none of them its default: for the file, the environment and the flag.
const SAMPLES: &[(&str, [&str; 3])] = &[
    ("listen", ["127.0.0.1:1", "[::1]:2", "127.0.0.2:3"]),
    ("auth", ["required", "required", "required"]),
    ("insecure", ["true", "true", "true"]),
    ("tls-cert", ["/a", "/b", "/c"]),
    ("tls-key", ["/a", "/b", "/c"]),
    ("max-connections", ["1", "2", "3"]),
    ("idle-timeout", ["1s", "2s", "3s"]),
    ("request-timeout", ["1s", "2s", "3s"]),
    ("min-body-rate", ["1KiB", "2KiB", "3KiB"]),
    ("default-quota", ["1MB", "2MB", "3MB"]),
    ("data-dir", ["/a", "/b", "/c"]),
    ("shards", ["11", "12", "13"]),
    ("lake-threads", ["11", "12", "13"]),
    ("page-index", ["on", "off", "on"]),
    ("flush-interval", ["1s", "2s", "3s"]),
    ("compaction", ["off", "auto", "off"]),
    ("flush-size", ["1MiB", "2MiB", "3MiB"]),
    ("max-body-size", ["1MB", "2MB", "3MB"]),
    ("default-retention", ["1h", "2h", "inf"]),
    ("expiry", ["on", "off", "on"]),
    ("auto-create-buckets", ["false", "false", "false"]),
    ("rejects-size-limit", ["1MiB", "2MiB", "3MiB"]),
    ("memory-limit", ["1GiB", "2GiB", "3GiB"]),
    ("shutdown-timeout", ["1s", "2s", "3s"]),
    ("durability", ["memory", "write", "memory"]),
    ("wal-size-limit", ["1GiB", "2GiB", "3GiB"]),
    ("wal-skip-damaged", ["true", "true", "true"]),
    ("simd", ["portable", "auto", "portable"]),
    ("log-format", ["json", "text", "json"]),
    ("log", ["warn", "error", "debug"]),
];

/// Loads from a file with this text (if any), these variables and these flags.
pub fn loaded(
    file: Option<&str>,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringest.toml");
    let config = file.map(|text| {
        fs::write(&path, text).unwrap();
        path.clone()
    });
    let args = ServeArgs { config, flags: flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect() };
    let environment = variables.iter().map(|(name, text)| (OsString::from(name), OsString::from(text)));
    let (given, problems) = gather(&args, environment);
    resolve(&given, BASIS, problems).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

fn value_of(loaded: &Loaded, key: &str) -> (String, String) {
    let index = OPTIONS.iter().position(|option| option.key == key).unwrap();
    (loaded.config.shown()[index].1.clone(), loaded.origins[index].to_string())
}

#[test]
fn flag_beats_environment_beats_file_beats_default_for_every_option() {
    let samples: BTreeMap<_, _> = SAMPLES.iter().copied().collect();
    assert_eq!(samples.len(), OPTIONS.len());
    for option in OPTIONS {
        let key = option.key;
        let [in_file, in_environment, in_flag] = samples[key];
        let file = format!("# a comment\n{key} = \"{in_file}\"\n");
        let name = variable_name(key);
        let variables = [(name.as_str(), in_environment)];
        // Some go together.
        let other = match key {
            "tls-cert" => Some(("tls-key", "/key")),
            "tls-key" => Some(("tls-cert", "/cert")),
            "default-quota" => Some(("auth", "required")),
            _ => None,
        };
        let flags = other.as_slice();

        let (_, origin) = value_of(&loaded(None, &[], &[]).unwrap(), key);
        assert_eq!(origin, "default");
        let (value, origin) = value_of(&loaded(Some(&file), &[], flags).unwrap(), key);
        assert_eq!(value, in_file);
        assert!(origin.ends_with("ringest.toml:2"), "{origin}");
        let with_environment = value_of(&loaded(Some(&file), &variables, flags).unwrap(), key);
        assert_eq!(with_environment, (in_environment.to_owned(), format!("environment {name}")));
        let flags = [flags, &[(key, in_flag)]].concat();
        let with_flag = value_of(&loaded(Some(&file), &variables, &flags).unwrap(), key);
        assert_eq!(with_flag, (in_flag.to_owned(), format!("flag --{key}")));
    }
}

#[test]
fn the_effective_configuration_is_a_configuration_file() {
    let flags: Vec<(&str, &str)> = SAMPLES.iter().map(|(key, [.., in_flag])| (*key, *in_flag)).collect();
    for flags in [&[][..], &flags] {
        let first = loaded(None, &[], flags).unwrap();
        let again = loaded(Some(&first.to_toml()), &[], &[]).unwrap();
        assert_eq!(first.config, again.config);
    }
}

#[test]
fn defaults_follow_the_machine_and_the_memory_limit() {
    let config = loaded(None, &[], &[]).unwrap().config;
    assert_eq!((config.shards, config.lake_threads), (5, 3));
    assert_eq!((config.memory_bytes_max, config.flush_bytes), (8 * GIB, 5 * 64 * MIB));
    assert_eq!(config.body_bytes_max, 25_000_000);
    assert_eq!(config.default_retention, Some(72 * HOUR));
    let small = loaded(None, &[], &[("memory-limit", "400MiB")]).unwrap().config;
    assert_eq!(small.flush_bytes, 50 * MIB);
}

#[test]
fn numbers_truths_and_inf_need_no_quotes_in_the_file() {
    let file = "shards = 4\nmax-body-size = 1_000_000\ndefault-retention = inf\nwal-skip-damaged = true\n";
    let config = loaded(Some(file), &[], &[]).unwrap().config;
    assert!(config.wal_skip_damaged);
    assert_eq!((config.shards, config.body_bytes_max, config.default_retention), (4, 1_000_000, None));
}

/// What is refused, and the sentence.
pub fn refusal(file: &str) -> String {
    loaded(Some(file), &[], &[]).unwrap_err()
}

#[test]
fn a_file_is_refused_with_line_and_choices() {
    let message = refusal("# one\nlisten = \"127.0.0.1:1\"\ndata_dir = \"x\"\n");
    assert!(message.starts_with("FILE:3: there is no option \"data_dir\" (did you mean \"data-dir\"?)"), "{message}");
    assert!(message.contains("the options are listen, auth, insecure"), "{message}");

    let message = refusal("\n\nmax-body-size = \"2GiB\"\n");
    let expected =
        "FILE:3: max-body-size = \"2GiB\" is not possible: give a size from 1KiB to 1GiB, such as 25000000 or 64MiB";
    assert_eq!(message, expected);

    assert_eq!(refusal("simd = 2026-01-01"), "FILE:1: simd is a date; give text in quotes or a number");
    assert!(refusal("a = 1\n[server]\n").contains("FILE:2: there is no option \"server\""));
    assert!(refusal("listen = \n").starts_with("FILE:1: not TOML: "));
    assert!(refusal("shards = 1\nshards = 2\n").starts_with("FILE:2: not TOML: duplicate key"));
    assert!(refusal("config = \"other.toml\"\n").contains("there is no option \"config\""));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let message = loaded(Some("shards = 0\nsimd = \"avx3\"\n"), &[("RINGEST_LISTN", "x")], &[("listen", "8086")]);
    let message = message.unwrap_err();
    assert_eq!(message.lines().count(), 4, "{message}");
    assert!(
        message.contains("there is no environment variable RINGEST_LISTN (did you mean RINGEST_LISTEN?)"),
        "{message}"
    );
    assert!(message.contains("flag --listen: listen = \"8086\" is not possible: give an address"), "{message}");
    assert!(message.contains("did you mean avx2?"), "{message}");
}

#[test]
fn values_that_contradict_each_other_are_refused_with_both_places() {
    let message = loaded(Some("flush-size = \"1GiB\"\n"), &[("RINGEST_MEMORY_LIMIT", "2GiB")], &[]).unwrap_err();
    let expected = "flush-size = 1GiB (FILE:1) is more than a quarter of memory-limit = 2GiB \
                    (environment RINGEST_MEMORY_LIMIT): lower the first or raise the second";
    assert_eq!(message, expected);
    let message = loaded(None, &[], &[("memory-limit", "192MiB"), ("max-body-size", "25MiB")]).unwrap_err();
    assert!(message.contains("max-body-size = 25MiB (flag --max-body-size) is more than an eighth"), "{message}");
    let message = loaded(None, &[], &[("wal-size-limit", "32MiB"), ("max-body-size", "9MiB")]).unwrap_err();
    assert!(message.contains("is more than a quarter of wal-size-limit = 32MiB"), "{message}");
    let smallest = loaded(None, &[], &[("memory-limit", "192MiB"), ("wal-size-limit", "32MiB")]).unwrap().config;
    assert_eq!(smallest.body_bytes_max, 8 * MIB, "the default follows the limits");
}

#[test]
fn an_open_door_has_to_be_asked_for() {
    for listen in ["0.0.0.0:8086", "[::]:8086", "192.0.2.1:8086"] {
        let message = loaded(None, &[], &[("listen", listen)]).unwrap_err();
        assert!(message.starts_with(&format!("listen = {listen} (flag --listen) is reachable")), "{message}");
        assert!(loaded(None, &[], &[("listen", listen), ("insecure", "true")]).is_ok());
        assert!(loaded(None, &[], &[("listen", listen), ("auth", "required")]).is_ok());
    }
    for listen in ["127.0.0.1:1", "127.8.0.1:1", "[::1]:1", "localhost:1"] {
        assert!(loaded(None, &[], &[("listen", listen)]).is_ok(), "{listen}");
    }
    let message = loaded(None, &[], &[("tls-cert", "/cert.pem")]).unwrap_err();
    assert_eq!(message, "tls-cert (flag --tls-cert) is given without tls-key: give both, or none");
    assert!(loaded(None, &[], &[("tls-cert", "/cert.pem"), ("tls-key", "/key.pem")]).is_ok());
    let message = loaded(None, &[], &[("default-quota", "1MB")]).unwrap_err();
    assert_eq!(message, "default-quota (flag --default-quota) is given without auth = required: give both, or none");
    assert!(loaded(None, &[], &[("default-quota", "1MB"), ("auth", "required")]).is_ok());
}

#[test]
fn the_environment_names_the_file_and_foreign_variables_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    fs::write(&path, "shards = 7\n").unwrap();
    let environment = || {
        [("RINGEST_CONFIG", path.to_str().unwrap()), ("PATH", "/bin")].map(|(a, b)| (a.into(), b.into())).into_iter()
    };
    let (given, problems) = gather(&ServeArgs::default(), environment());
    assert_eq!(resolve(&given, BASIS, problems).unwrap().config.shards, 7);

    let args = ServeArgs { config: Some(Path::new("/no/such/file").to_owned()), flags: Vec::new() };
    let (given, problems) = gather(&args, environment());
    let message = resolve(&given, BASIS, problems).unwrap_err().to_string();
    assert!(message.contains("/no/such/file") && message.ends_with("given by flag --config"), "{message}");
}

#[test]
fn the_readme_lists_every_option_as_it_is() {
    let mut table = String::from("| flag | environment | default | meaning |\n|---|---|---|---|\n");
    for option in OPTIONS {
        let default =
            if option.default.contains(' ') { option.default.to_owned() } else { format!("`{}`", option.default) };
        let variable = variable_name(option.key);
        table += &format!("| `--{}` | `{variable}` | {default} | {} |\n", option.key, option.help.trim());
    }
    assert!(include_str!("../../README.md").contains(&table), "README.md must hold this table:\n{table}");
}
