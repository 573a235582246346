//! Flags, environment and file, gathered into one list.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::OPTIONS;
use super::buckets::{self, BUCKET_KEY, Buckets, MAPPING_KEY};
use super::report::{Origin, Problem, nearest};

const PREFIX: &str = "RINGEST_";

/// The key that names the file; it cannot stand in the file itself.
const CONFIG_KEY: &str = "config";

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct ServeArgs {
    /// The TOML file (`--config`).
    pub config: Option<PathBuf>,
    /// Key and value of every other option that was given.
    pub flags: Vec<(&'static str, String)>,
}

/// What somebody gave.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Values of options, the strongest source first.
    values: Vec<(&'static str, String, Origin)>,
    /// Sections of the file.
    pub buckets: Buckets,
}

impl Given {
    /// The strongest value of `key`, with the place where it was said.
    pub fn get(&self, key: &str) -> Option<(&str, &Origin)> {
        self.values.iter().find(|(known, ..)| *known == key).map(|(_, text, origin)| (text.as_str(), origin))
    }
}

/// Name of the environment variable of an option.
pub fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('-', "_"))
}

/// Collects all sources; what names no option, or cannot be read, comes back as problems.
pub(super) fn gather(
    args: &ServeArgs,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> (Given, Vec<Problem>) {
    let mut given = Given::default();
    let mut problems = Vec::new();
    for (key, text) in &args.flags {
        given.values.push((key, text.clone(), Origin::Flag(format!("--{key}"))));
    }
    let mut file = args.config.clone().map(|path| (path, Origin::Flag(format!("--{CONFIG_KEY}"))));
    for (variable, text) in variables(environment, &mut problems) {
        let origin = Origin::Environment(variable.clone());
        if variable == variable_name(CONFIG_KEY) {
            file.get_or_insert((PathBuf::from(text), origin));
        } else if let Some(option) = OPTIONS.iter().find(|option| variable_name(option.key) == variable) {
            given.values.push((option.key, text, origin));
        } else {
            problems.push(unknown_variable(variable));
        }
    }
    if let Some((path, origin)) = file {
        match fs::read_to_string(&path) {
            Ok(text) => read_file(&path, &text, &mut given, &mut problems),
            Err(error) => problems.push(Problem::Unreadable { path, origin, error }),
        }
    }
    (given, problems)
}

/// The variables that start with [`PREFIX`], sorted, so that messages come in one order.
fn variables(
    environment: impl Iterator<Item = (OsString, OsString)>,
    problems: &mut Vec<Problem>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, text) in environment {
        let name = name.to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) {
            continue;
        }
        match text.into_string() {
            Ok(text) => found.push((name, text)),
            Err(_) => problems.push(Problem::VariableNotText { variable: name }),
        }
    }
    found.sort();
    found
}

fn unknown_variable(variable: String) -> Problem {
    let mut valid: Vec<String> = OPTIONS.iter().map(|option| variable_name(option.key)).collect();
    valid.push(variable_name(CONFIG_KEY));
    let nearest = nearest(&variable, valid.iter().map(String::as_str)).map(str::to_owned);
    Problem::UnknownVariable { variable, nearest, valid: valid.join(", ") }
}

fn read_file(path: &Path, text: &str, given: &mut Given, problems: &mut Vec<Problem>) {
    let origin_at = |offset: usize| {
        let before = text.as_bytes().iter().take(offset);
        Origin::File { path: path.to_owned(), line: 1 + before.filter(|byte| **byte == b'\n').count() }
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let origin = origin_at(error.span().map_or(0, |span| span.start));
            problems.push(Problem::Syntax { origin, message: error.message().to_owned() });
            return;
        }
    };
    for (key, value) in table.get_ref() {
        let origin = origin_at(key.span().start);
        let key = key.get_ref();
        let mut sections = buckets::Reader { buckets: &mut given.buckets, problems, origin_at };
        match &**key {
            BUCKET_KEY => {
                sections.read_buckets(origin, value.get_ref());
                continue;
            }
            MAPPING_KEY => {
                sections.read_mappings(origin, value.get_ref());
                continue;
            }
            _ => {}
        }
        let Some(option) = OPTIONS.iter().find(|option| option.key == key) else {
            problems.push(unknown_key(origin, key));
            continue;
        };
        match scalar(value.get_ref()) {
            Ok(text) => given.values.push((option.key, text, origin)),
            Err(found) => problems.push(Problem::NotAValue { origin, key: key.to_string(), found }),
        }
    }
}

fn unknown_key(origin: Origin, key: &str) -> Problem {
    let keys = || OPTIONS.iter().map(|option| option.key).chain([BUCKET_KEY, MAPPING_KEY]);
    let nearest = nearest(key, keys()).map(|key| format!("{key:?}"));
    Problem::UnknownKey { origin, key: key.to_owned(), nearest, valid: keys().collect::<Vec<_>>().join(", ") }
}

/// A value as the option's flag would have it, or what it is instead.
pub(super) fn scalar(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.to_string()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Datetime(_) => Err("a date"),
        DeValue::Array(_) => Err("a list"),
        DeValue::Table(_) => Err("a table"),
    }
}
