//! What the configuration file says of single buckets: sections `[bucket."name"]`, and `[[mapping]]` from database and retention policy
//! to a bucket. They have neither flag nor variable.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::report::{Origin, Problem, nearest};
use super::source::scalar;
use super::value::{self, Fault};

/// The keys of the file that are sections of this page and no options.
pub const BUCKET_KEY: &str = "bucket";
pub const MAPPING_KEY: &str = "mapping";

/// The name of the retention policy that a database has from the beginning: that of the bucket named like the database. A write that names none
/// means it.
pub const DEFAULT_POLICY: &str = "autogen";

/// All sections of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    settings: BTreeMap<String, BucketSettings>,
    /// By database, then by retention policy ("": the default one): the bucket.
    mappings: BTreeMap<String, BTreeMap<String, String>>,
}

/// What a section `[bucket."name"]` says; a key that is absent leaves things as they are without the section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketSettings {
    /// Beats what the bucket was created with. The inner `None` takes points of any age.
    pub retention: Option<Option<Duration>>,
    /// Points that are refused are kept under `rejects/`.
    pub rejects: bool,
    /// Whether days that are older than the retention are removed; beats the option.
    pub expiry: Option<bool>,
}

impl Buckets {
    pub fn settings(&self, bucket: &str) -> Option<&BucketSettings> {
        self.settings.get(bucket)
    }

    /// The retention that the file gives a bucket, if it gives one.
    pub fn retention(&self, bucket: &str) -> Option<Option<Duration>> {
        self.settings(bucket)?.retention
    }

    /// The bucket that a database and a retention policy are mapped to. No policy, the empty one and `autogen` are the same.
    pub fn mapped(&self, db: &str, policy: &str) -> Option<&str> {
        self.mappings.get(db)?.get(default_as_empty(policy)).map(String::as_str)
    }

    /// The bucket that a database and a retention policy ("" or `autogen`: the default one) stand for: the one that the file maps them to,
    /// else `db` for the default policy and `db/rp` for any other.
    pub fn resolve<'a>(&self, db: impl Into<Cow<'a, str>>, policy: &str) -> String {
        let db = db.into();
        match self.mapped(&db, policy) {
            Some(bucket) => bucket.to_owned(),
            None if policy.is_empty() || policy == DEFAULT_POLICY => db.into_owned(),
            None => format!("{db}/{policy}"),
        }
    }

    /// Whether the file names the bucket, in a section of its own or as the target of a mapping.
    pub fn names(&self, bucket: &str) -> bool {
        self.settings.contains_key(bucket) || self.mapped_buckets().any(|mapped| mapped == bucket)
    }

    fn mapped_buckets(&self) -> impl Iterator<Item = &str> {
        self.mappings.values().flat_map(BTreeMap::values).map(String::as_str)
    }

    /// The buckets that have a section.
    pub fn configured(&self) -> impl Iterator<Item = &str> {
        self.settings.keys().map(String::as_str)
    }

    /// Database and retention policy ("": the default one) of every mapping.
    pub fn mappings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.mappings
            .iter()
            .flat_map(|(db, policies)| policies.keys().map(move |policy| (db.as_str(), policy.as_str())))
    }

    /// The sections as they stand in a file.
    pub(super) fn to_toml(&self) -> String {
        let mut toml = String::new();
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        // Writing to a String cannot fail.
        for (name, BucketSettings { retention, rejects, expiry }) in &self.settings {
            let _ = writeln!(toml, "\n[{BUCKET_KEY}.{}]", basic_string(name));
            if let Some(retention) = retention {
                let _ = writeln!(toml, "retention = {}", quoted(&value::show_retention(retention)));
            }
            let _ = writeln!(toml, "rejects = {rejects}");
            if let Some(expiry) = expiry {
                let _ = writeln!(toml, "expiry = {}", quoted(&value::show_on_or_off(expiry)));
            }
        }
        for (db, policies) in &self.mappings {
            for (policy, bucket) in policies {
                let _ = writeln!(toml, "\n[[{MAPPING_KEY}]]\ndb = {}", quoted(db));
                if !policy.is_empty() {
                    let _ = writeln!(toml, "rp = {}", quoted(policy));
                }
                let _ = writeln!(toml, "bucket = {}", quoted(bucket));
            }
        }
        toml
    }
}

fn default_as_empty(policy: &str) -> &str {
    if policy == DEFAULT_POLICY { "" } else { policy }
}

/// A key in double quotes: a value may be written over several lines, a key may not.
fn basic_string(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04X}", c as u32),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Reads the sections; what is wrong with them goes to `problems`.
pub(super) struct Reader<'a, F> {
    pub buckets: &'a mut Buckets,
    pub problems: &'a mut Vec<Problem>,
    /// Where in the file an offset lies.
    pub origin_at: F,
}

impl<F: Fn(usize) -> Origin> Reader<'_, F> {
    /// The value of the key `bucket`.
    pub fn read_buckets(&mut self, origin: Origin, value: &DeValue<'_>) {
        let DeValue::Table(sections) = value else {
            return self.not_sections(origin, BUCKET_KEY, "[bucket.\"name\"]");
        };
        for (name, section) in sections {
            let origin = (self.origin_at)(name.span().start);
            let name = name.get_ref().to_string();
            match section.get_ref() {
                _ if name.is_empty() => self.impossible("bucket", name, origin, "give a name"),
                DeValue::Table(section) => {
                    let settings = self.read_settings(section);
                    self.buckets.settings.insert(name, settings);
                }
                _ => self.not_sections(origin, BUCKET_KEY, "[bucket.\"name\"]"),
            }
        }
    }

    fn read_settings(&mut self, section: &DeTable<'_>) -> BucketSettings {
        let mut settings = BucketSettings::default();
        for (key, text, origin) in self.read_keys(section, &["retention", "rejects", "expiry"]) {
            let parsed = match key {
                "retention" => value::bucket_retention(&text).map(|retention| settings.retention = Some(retention)),
                "expiry" => value::on_or_off(&text).map(|expiry| settings.expiry = Some(expiry)),
                _ => value::yes_or_no(&text).map(|rejects| settings.rejects = rejects),
            };
            match parsed {
                Ok(()) => {}
                Err(Fault::Because(why)) => self.impossible(key, text, origin, &why),
                Err(Fault::Shape) if key == "retention" => {
                    self.impossible(key, text, origin, "give a duration of at least 1s, such as 72h or 30d, or inf");
                }
                Err(Fault::Shape) if key == "expiry" => self.impossible(key, text, origin, "give off or on"),
                Err(Fault::Shape) => self.impossible(key, text, origin, "give true or false"),
            }
        }
        settings
    }

    /// The value of the key `mapping`.
    pub fn read_mappings(&mut self, origin: Origin, value: &DeValue<'_>) {
        let DeValue::Array(sections) = value else {
            return self.not_sections(origin, MAPPING_KEY, "[[mapping]]");
        };
        for section in sections.iter() {
            let origin = (self.origin_at)(section.span().start);
            match section.get_ref() {
                DeValue::Table(section) => self.read_mapping(origin, section),
                _ => self.not_sections(origin, MAPPING_KEY, "[[mapping]]"),
            }
        }
    }

    fn read_mapping(&mut self, origin: Origin, section: &DeTable<'_>) {
        let (mut db, mut policy, mut bucket) = (None, None, None);
        for (key, text, _) in self.read_keys(section, &["db", "rp", "bucket"]) {
            match key {
                "db" => db = Some(text),
                "rp" => policy = Some(text),
                _ => bucket = Some(text),
            }
        }
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (Some(db), Some(bucket)) = (filled(db), filled(bucket)) else {
            self.problems.push(Problem::MappingIncomplete { origin });
            return;
        };
        let policy = default_as_empty(policy.as_deref().unwrap_or_default()).to_owned();
        match self.buckets.mappings.entry(db.clone()).or_default().entry(policy) {
            Entry::Vacant(free) => {
                free.insert(bucket);
            }
            Entry::Occupied(taken) => {
                self.problems.push(Problem::MappedTwice { origin, db, policy: taken.key().clone() });
            }
        }
    }

    /// The entries of a section that may hold these keys.
    fn read_keys(&mut self, section: &DeTable<'_>, keys: &[&'static str]) -> Vec<(&'static str, String, Origin)> {
        let mut found = Vec::new();
        for (key, value) in section {
            let origin = (self.origin_at)(key.span().start);
            let Some(known) = keys.iter().find(|known| **known == key.get_ref()) else {
                let nearest = nearest(key.get_ref(), keys.iter().copied()).map(|key| format!("{key:?}"));
                let key = key.get_ref().to_string();
                self.problems.push(Problem::UnknownKey { origin, key, nearest, valid: keys.join(", ") });
                continue;
            };
            match scalar(value.get_ref()) {
                Ok(text) => found.push((*known, text, origin)),
                Err(what) => {
                    self.problems.push(Problem::NotAValue { origin, key: (*known).to_owned(), found: what });
                }
            }
        }
        found
    }

    fn impossible(&mut self, key: &'static str, text: String, origin: Origin, why: &str) {
        self.problems.push(Problem::Impossible { key, text, origin, why: why.to_owned() });
    }

    fn not_sections(&mut self, origin: Origin, key: &'static str, write: &'static str) {
        self.problems.push(Problem::NotSections { origin, key, write });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::tests::{loaded, refusal};
    use super::*;

    const FILE: &str = r#"
shards = 2

[bucket.metrics]
retention = "30d"

[bucket."telegraf/long term"]
retention = inf
rejects = true
expiry = "on"

[bucket."a \"b\" \\ \t"]

[[mapping]]
db = "telegraf"
bucket = "metrics"

[[mapping]]
db = "telegraf"
rp = "long"
bucket = "telegraf/long term"
"#;

    #[test]
    fn sections_give_retention_rejects_and_mappings() {
        let config = loaded(Some(FILE), &[], &[]).unwrap().config;
        let buckets = &config.buckets;
        assert_eq!(config.shards, 2);
        assert_eq!(buckets.retention("metrics"), Some(Some(Duration::from_secs(30 * 24 * 3600))));
        assert_eq!(buckets.retention("telegraf/long term"), Some(None));
        assert_eq!((buckets.retention("a \"b\" \\ \t"), buckets.retention("other")), (None, None));
        assert!(buckets.settings("telegraf/long term").unwrap().rejects);
        assert!(!buckets.settings("metrics").unwrap().rejects);
        let expiry = |bucket| buckets.settings(bucket).unwrap().expiry;
        assert_eq!((expiry("telegraf/long term"), expiry("metrics")), (Some(true), None));
        for policy in ["", "autogen"] {
            assert_eq!(buckets.mapped("telegraf", policy), Some("metrics"));
        }
        assert_eq!(buckets.mapped("telegraf", "long"), Some("telegraf/long term"));
        assert_eq!((buckets.mapped("telegraf", "Long"), buckets.mapped("metrics", "")), (None, None));
        assert!(buckets.names("metrics") && buckets.names("a \"b\" \\ \t") && !buckets.names("telegraf"));
    }

    #[test]
    fn sections_are_printed_as_they_are_read() {
        let first = loaded(Some(FILE), &[], &[("listen", "127.0.0.1:1")]).unwrap();
        let printed = first.to_toml();
        assert_eq!(loaded(Some(&printed), &[], &[]).unwrap().config, first.config, "{printed}");
        assert!(printed.contains("[bucket.\"metrics\"]\nretention = \"720h\"\nrejects = false\n"), "{printed}");
        assert!(printed.contains("[[mapping]]\ndb = \"telegraf\"\nrp = \"long\"\n"), "{printed}");
    }

    #[test]
    fn sections_are_refused_with_line_and_choices() {
        for (file, expected) in [
            (
                "[bucket.a]\n\nretentoin = \"1h\"\n",
                "FILE:3: there is no option \"retentoin\" (did you mean \"retention\"?); the options are retention, rejects, expiry",
            ),
            (
                "[bucket.a]\nretention = \"0s\"\n",
                "FILE:2: retention = \"0s\" is not possible: give a duration of at least 1s, such as 72h or 30d, or inf",
            ),
            ("[bucket.a]\nexpiry = true\n", "FILE:2: expiry = \"true\" is not possible: give off or on"),
            ("[bucket.a]\nrejects = 1\n", "FILE:2: rejects = \"1\" is not possible: give true or false"),
            ("[bucket.\"\"]\n", "FILE:1: bucket = \"\" is not possible: give a name"),
            (
                "bucket = 1\n",
                "FILE:1: bucket is no section; write [bucket.\"name\"] on a line of its own, and its keys below",
            ),
            (
                "mapping = 1\n",
                "FILE:1: mapping is no section; write [[mapping]] on a line of its own, and its keys below",
            ),
            (
                "[[mapping]]\ndb = \"\"\nbucket = \"b\"\n",
                "FILE:1: the mapping names no database or no bucket; give db and bucket, and rp if it is for one retention policy",
            ),
            (
                "[[mapping]]\ndb = \"d\"\nbucket = \"a\"\n[[mapping]]\ndb = \"d\"\nrp = \"autogen\"\nbucket = \"b\"\n",
                "FILE:4: the database \"d\" with the retention policy \"autogen\" is mapped before; keep one of the mappings",
            ),
            ("[bucket.a]\nrejects = []\n", "FILE:2: rejects is a list; give text in quotes or a number"),
        ] {
            assert_eq!(refusal(file), expected);
        }
        assert!(refusal("[buckets.a]\n").contains("there is no option \"buckets\" (did you mean \"bucket\"?)"));
    }
}
