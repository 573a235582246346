//! Which bucket a database and a retention policy stand for, which buckets there are, and what they take: what the catalog knows and what
//! the configuration says, in one view.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::Refusal;
use super::ingest::Context;
use super::params;
use super::route::Route;
use crate::config::DEFAULT_POLICY;

/// Retention policies of a database, and the buckets that they stand for.
pub type Policies = BTreeMap<String, String>;
pub type Databases = BTreeMap<String, Policies>;

impl Context {
    /// How old the points of a bucket may be, now. The configuration beats what the bucket was created with.
    pub fn retention(&self, bucket: &str) -> Option<Duration> {
        self.config.buckets.retention(bucket).unwrap_or_else(|| {
            self.catalog.bucket(bucket).map_or(self.config.default_retention, |bucket| bucket.retention)
        })
    }

    /// The retention that a bucket is born with.
    pub fn retention_at_birth(&self, bucket: &str) -> Option<Duration> {
        self.config.buckets.retention(bucket).unwrap_or(self.config.default_retention)
    }

    /// Refuses a write to a bucket that does not exist and is not made by it.
    pub fn check_bucket(&self, bucket: &str, route: Route, query: &str) -> Result<(), Refusal> {
        if self.config.auto_create_buckets || self.exists(bucket) {
            return Ok(());
        }
        // Before the log is replayed nobody knows whether the bucket exists.
        if !self.keeper.is_open() {
            return Err(Refusal::Recovering);
        }
        Err(self.missing(bucket, route, query))
    }

    /// Whether the bucket is there, or comes with the first write because the configuration names it.
    fn exists(&self, bucket: &str) -> bool {
        self.catalog.bucket(bucket).is_some() || self.config.buckets.names(bucket)
    }

    /// What of a bucket that does not exist is missing, in the terms of the write.
    #[cold]
    fn missing(&self, bucket: &str, route: Route, query: &str) -> Refusal {
        let named =
            |name| params::first(query.as_bytes(), name).filter(|_| route == Route::WriteV1).unwrap_or_default();
        let (db, policy) = (named("db"), named("rp"));
        let has_database =
            || self.exists(&self.config.buckets.resolve(&*db, "")) || self.databases().contains_key(&*db);
        match !policy.is_empty() && policy != DEFAULT_POLICY && has_database() {
            true => Refusal::NoPolicy { bucket: bucket.to_owned(), policy: policy.into_owned() },
            false => Refusal::NoBucket { name: bucket.to_owned() },
        }
    }

    /// What v1 clients see as databases and their retention policies: every bucket that exists or is configured, under the names by which
    /// a write reaches it.
    pub fn databases(&self) -> Databases {
        let configured = &self.config.buckets;
        let mut databases = Databases::new();
        let mut add = |db: &str, policy: &str, bucket: String| {
            let policy = if policy.is_empty() { DEFAULT_POLICY } else { policy };
            databases.entry(db.to_owned()).or_default().insert(policy.to_owned(), bucket);
        };
        for (db, policy) in configured.mappings() {
            add(db, policy, configured.resolve(db, policy));
        }
        let known = self.catalog.buckets();
        for bucket in known.iter().map(|bucket| &*bucket.name).chain(configured.configured()) {
            let parts = bucket.split_once('/').filter(|(db, _)| !db.is_empty());
            let reaches = |(db, policy): &(&str, &str)| configured.resolve(*db, policy) == bucket;
            if let Some((db, policy)) = parts.filter(reaches).or(Some((bucket, "")).filter(reaches)) {
                add(db, policy, bucket.to_owned());
            }
        }
        databases
    }
}
