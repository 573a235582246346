//! `/query`, as far as client libraries need it: databases and retention policies are created and shown. Everything else gets an answer
//! that says that it was not done.

mod answer;
pub mod influxql;
mod multipart;
mod token;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::auth::Client;
use super::buckets::{Databases, Policies};
use super::error::Refusal;
use super::ingest::{Context, RETRY_AFTER_SECONDS};
use super::params::{self, NotUtf8};
use crate::budget::{Consumer, Reservation};
use crate::catalog::{Births, Catalog};
use crate::config::DEFAULT_POLICY;
use crate::decode::{Gunzip, GzipError};
use crate::http::{Error as HttpError, Head, Response};
use crate::line::Padded;
use crate::table::Journal;

use answer::{Answer, Outcome, PolicyRow};
use influxql::{Policy, Statement};

/// Most bytes of the body.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// Most statements of a query: each may make an answer as long as the list of all databases.
const STATEMENTS_MAX: usize = 32;

/// Memory of a line of an answer, beside its name.
const LINE_BYTES: usize = 256;

/// The shortest retention that means anything, as for options and sections of the configuration.
const RETENTION_MIN: Duration = Duration::from_secs(1);

/// A request to `/query` whose head has come.
pub struct Query {
    /// The target behind '?'.
    url: String,
    form: Form,
    gzip: bool,
}

/// Without the URL, which may hold a password.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").field("form", &self.form).field("gzip", &self.gzip).finish_non_exhaustive()
    }
}

/// How the body says the query.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// As parameters, like those of the URL.
    Parameters,
    /// As parameters in parts of their own.
    Parts { boundary: String },
    /// The body is the query.
    Text,
}

impl Query {
    /// `gzip`: the body, if there is one, is compressed.
    ///
    /// # Errors
    /// The body is too large, or a parameter is not UTF-8.
    pub fn of(head: &Head, gzip: bool) -> Result<Self, Refusal> {
        if let Some(bytes) = head.content_length.filter(|bytes| *bytes > BODY_BYTES_MAX as u64) {
            return Err(too_large(Some(bytes)));
        }
        let content_type = head.content_type.as_deref().unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let form = match &*media_type {
            "application/vnd.influxql" => Form::Text,
            "multipart/form-data" => {
                Form::Parts { boundary: multipart::boundary(content_type).map_err(refused)?.into() }
            }
            _ => Form::Parameters,
        };
        params::check(head.query.as_bytes()).map_err(refused)?;
        Ok(Self { url: head.query.clone(), form, gzip })
    }

    /// Executes the statements. With the answer comes what must be durable before it is sent.
    ///
    /// # Errors
    /// Nothing was done, or there is no room for what remains; to run it again does no harm.
    pub fn run(&self, context: &Context, client: &Client, body: Padded<'_>) -> Result<(Response, u64), Refusal> {
        if body.len() > BODY_BYTES_MAX {
            return Err(too_large(None));
        }
        let mut gunzip;
        let mut bytes = body.as_bytes();
        // Some clients announce gzip with every request, also where they send no body.
        if self.gzip && !bytes.is_empty() {
            gunzip = Gunzip::new().map_err(Refusal::Gzip)?;
            bytes = gunzip.decode(bytes, BODY_BYTES_MAX, |_| true).map_err(of_gzip)?.as_bytes();
        }
        let said = Said::read(bytes, &self.form)?;
        let parameter = |name: &str| {
            let value = said.first(name).or_else(|| params::first(self.url.as_bytes(), name));
            value.filter(|value| !value.is_empty())
        };
        let query = match said {
            Said::Text(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
            _ => parameter("q"),
        };
        let query = query.ok_or_else(|| refused("missing required parameter \"q\""))?;
        let statements = influxql::parse(&query).map_err(|error| refused(format!("error parsing query: {error}")))?;
        if statements.len() > STATEMENTS_MAX {
            return Err(refused(format!("the query has more than {STATEMENTS_MAX} statements; send fewer at once")));
        }
        let mut session = Session::new(context, client, parameter("db"));
        let answer = session.execute(&statements)?;
        let is_pretty = parameter("pretty").is_some_and(|value| value == "true");
        Ok((answer.response(is_pretty), session.position))
    }
}

/// What a body says.
enum Said<'a> {
    Parameters(&'a [u8]),
    Parts(Vec<(&'a str, &'a str)>),
    Text(&'a str),
}

impl<'a> Said<'a> {
    fn read(body: &'a [u8], form: &Form) -> Result<Self, Refusal> {
        match form {
            Form::Parameters => params::check(body).map(|()| Self::Parameters(body)).map_err(refused),
            // A header that came without what it is about, as with GET.
            Form::Parts { .. } if body.is_empty() => Ok(Self::Parts(Vec::new())),
            Form::Parts { boundary } => {
                let utf8 = |(name, value): multipart::Part<'a>| {
                    let value = std::str::from_utf8(value).map_err(|_| NotUtf8 { name: name.to_owned() });
                    value.map(|value| (name, value)).map_err(refused)
                };
                let parts = multipart::parts(body, boundary).map_err(refused)?;
                parts.into_iter().map(utf8).collect::<Result<_, _>>().map(Self::Parts)
            }
            Form::Text => std::str::from_utf8(body).map(Self::Text).map_err(|_| refused("the body is not UTF-8")),
        }
    }

    /// The first value of a parameter.
    fn first(&self, name: &str) -> Option<Cow<'a, str>> {
        match self {
            Self::Parameters(form) => params::first(form, name),
            Self::Parts(parts) => {
                parts.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value))
            }
            Self::Text(_) => None,
        }
    }
}

fn refused(reason: impl ToString) -> Refusal {
    Refusal::Query { reason: reason.to_string() }
}

fn too_large(declared: Option<u64>) -> Refusal {
    Refusal::Http(HttpError::BodyTooLarge { declared, bytes_max: BODY_BYTES_MAX })
}

fn of_gzip(error: GzipError) -> Refusal {
    match error {
        GzipError::NoMemory => NO_MEMORY,
        error => Refusal::Gzip(error),
    }
}

/// The statements of one request, while they are executed.
struct Session<'a> {
    context: &'a Context,
    client: &'a Client,
    /// The database of statements that name none.
    db: Option<Cow<'a, str>>,
    /// What must be durable before the answer is sent.
    position: u64,
    /// Every database, once somebody has asked for them, until one is created.
    databases: Option<Databases>,
    /// Of the answer.
    memory: Reservation,
}

impl<'a> Session<'a> {
    fn new(context: &'a Context, client: &'a Client, db: Option<Cow<'a, str>>) -> Self {
        let memory = Reservation::new(&context.budget, Consumer::Bodies);
        Self { context, client, db, position: 0, databases: None, memory }
    }

    /// Statements behind one that fails are not executed, as in InfluxDB.
    fn execute(&mut self, statements: &[Statement]) -> Result<Answer, Refusal> {
        let mut answer = Answer::default();
        let mut has_failed = false;
        for statement in statements {
            let outcome = if has_failed { Outcome::failed("not executed") } else { self.execute_one(statement)? };
            has_failed |= outcome.is_failure();
            answer.push(outcome);
        }
        Ok(answer)
    }

    fn execute_one(&mut self, statement: &Statement) -> Result<Outcome, Refusal> {
        match statement {
            Statement::CreateDatabase { name, policy } => self.create_database(name, policy),
            Statement::CreatePolicy { name, database, policy } => self.create_policy(name, database, policy),
            Statement::ShowDatabases => self.show_databases(),
            Statement::ShowPolicies { database } => self.show_policies(database.as_deref()),
            Statement::Unsupported { what } => Ok(Outcome::failed(format!(
                "{what} is not supported and nothing was done: ringest has CREATE DATABASE, CREATE RETENTION POLICY, SHOW DATABASES and \
                 SHOW RETENTION POLICIES; its data is in the Parquet files under lake/, and it deletes none"
            ))),
        }
    }

    fn create_database(&mut self, name: &str, policy: &Policy) -> Result<Outcome, Refusal> {
        let named = policy.name.as_deref().unwrap_or(DEFAULT_POLICY);
        match invalid_name([name, named]) {
            Some(invalid) => Ok(invalid),
            None => self.create(name, named, policy),
        }
    }

    fn create_policy(&mut self, name: &str, database: &str, policy: &Policy) -> Result<Outcome, Refusal> {
        if let Some(invalid) = invalid_name([name, database]) {
            return Ok(invalid);
        }
        if policy.is_default && name != DEFAULT_POLICY {
            return Ok(Outcome::failed(format!(
                "nothing was created: a database's default retention policy is always {DEFAULT_POLICY:?} here; leave DEFAULT out and name \
                 the policy in writes (rp={name}), or map the database to its bucket in the configuration"
            )));
        }
        if self.visible_policies(database)?.is_none() {
            return Ok(database_not_found(database));
        }
        self.create(database, name, policy)
    }

    /// Brings the bucket of a database and a retention policy into the world. A policy that `CREATE DATABASE` names comes together with the
    /// bucket of writes that name none, or not at all.
    fn create(&mut self, db: &str, name: &str, policy: &Policy) -> Result<Outcome, Refusal> {
        if let Some(limit) = policy.limit {
            let why = format!("nothing was created: {limit} LIMIT is not supported; leave it out");
            return Ok(Outcome::failed(why));
        }
        if policy.duration.flatten().is_some_and(|duration| duration < RETENTION_MIN) {
            return Ok(Outcome::failed("retention policy duration must be at least 1s"));
        }
        let Context { config, catalog, .. } = self.context;
        let bucket = config.buckets.resolve(db, name);
        let beside = policy.name.is_some().then(|| config.buckets.resolve(db, DEFAULT_POLICY));
        let beside = beside.filter(|beside| *beside != bucket);
        for bucket in [&bucket].into_iter().chain(&beside) {
            if !self.client.may_write(bucket) {
                return Ok(Outcome::failed(format!("not authorized to create {bucket:?}")));
            }
        }
        let conflicts = |existing| policy.duration.is_some_and(|asked| asked != existing);
        // Nothing is created with another retention than the one that the configuration sets.
        if config.buckets.retention(&bucket).is_some_and(conflicts) {
            return Ok(Outcome::failed(CONFLICT));
        }
        let retention = policy.duration.unwrap_or_else(|| self.context.retention_at_birth(&bucket));
        let mut wanted = vec![(&*bucket, retention)];
        let is_conflict = catalog.bucket(&bucket).is_some() && conflicts(self.context.retention(&bucket));
        if let Some(beside) = beside.as_deref().filter(|_| !is_conflict) {
            wanted.push((beside, self.context.retention_at_birth(beside)));
        }
        self.declare(&wanted)?;
        // Somebody else may have been first.
        let is_conflict = conflicts(self.context.retention(&bucket));
        Ok(if is_conflict { Outcome::failed(CONFLICT) } else { Outcome::done() })
    }

    /// The buckets exist when the log is durable up to `self.position`, whoever has brought them into the world.
    fn declare(&mut self, buckets: &[(&str, Option<Duration>)]) -> Result<(), Refusal> {
        let Context { catalog, budget, keeper, .. } = self.context;
        let births = buckets.iter().map(|&(bucket, retention)| Births { bucket, retention, tables: Vec::new() });
        let mut place = keeper.place_births(births.map(|births| births.record_bytes_max()).sum())?;
        // Until the catalog counts it.
        let mut memory = Reservation::new(budget, Consumer::Catalog);
        if !memory.try_grow(buckets.iter().map(|(bucket, _)| Catalog::bucket_bytes(bucket)).sum()) {
            return Err(NO_MEMORY);
        }
        catalog.declare_buckets(buckets, |record, births| place.births(record, births));
        self.position = self.position.max(place.position());
        self.databases = None;
        Ok(())
    }

    fn show_databases(&mut self) -> Result<Outcome, Refusal> {
        self.read_databases()?;
        let databases = self.databases.iter().flatten();
        let visible: Vec<String> =
            databases.filter(|(_, policies)| self.sees_any(policies)).map(|(db, _)| db.clone()).collect();
        self.reserve(visible.iter().map(|name| LINE_BYTES + name.len()).sum())?;
        Ok(Outcome::databases(visible))
    }

    fn show_policies(&mut self, named: Option<&str>) -> Result<Outcome, Refusal> {
        let Some(db) = named.or(self.db.as_deref()).map(str::to_owned) else {
            return Ok(Outcome::failed("database name required"));
        };
        let Some(policies) = self.visible_policies(&db)? else { return Ok(database_not_found(&db)) };
        let row = |(name, bucket): (&String, &String)| PolicyRow {
            name: name.clone(),
            retention: self.context.retention(bucket),
            is_default: name == DEFAULT_POLICY,
        };
        let rows: Vec<PolicyRow> = policies.iter().filter(|(_, bucket)| self.client.may_see(bucket)).map(row).collect();
        self.reserve(rows.iter().map(|row| LINE_BYTES + row.name.len()).sum())?;
        Ok(Outcome::policies(rows))
    }

    /// The retention policies of a database that exists as far as the client may know.
    fn visible_policies(&mut self, db: &str) -> Result<Option<Policies>, Refusal> {
        self.read_databases()?;
        let policies = self.databases.as_ref().and_then(|databases| databases.get(db));
        Ok(policies.filter(|policies| self.sees_any(policies)).cloned())
    }

    fn read_databases(&mut self) -> Result<(), Refusal> {
        if self.databases.is_none() {
            let databases = self.context.databases();
            self.reserve(databases.keys().map(|name| LINE_BYTES + name.len()).sum())?;
            self.databases = Some(databases);
        }
        Ok(())
    }

    /// Counts what the answer takes.
    fn reserve(&mut self, bytes: usize) -> Result<(), Refusal> {
        if self.memory.try_grow(bytes) { Ok(()) } else { Err(NO_MEMORY) }
    }

    fn sees_any(&self, policies: &Policies) -> bool {
        policies.values().any(|bucket| self.client.may_see(bucket))
    }
}

const NO_MEMORY: Refusal = Refusal::Overloaded { retry_after_seconds: RETRY_AFTER_SECONDS };

const CONFLICT: &str = "retention policy conflicts with an existing policy";

/// What InfluxDB says of a name that cannot be one. A '/' separates database and policy in the name of a bucket: what was created would not
/// be found under the name that was asked for.
fn invalid_name(names: [&str; 2]) -> Option<Outcome> {
    let wrong = names.into_iter().find(|name| name.is_empty() || name.contains('/'))?;
    let why = if wrong.is_empty() { "it is empty" } else { "it holds a '/'; send a name without one" };
    Some(Outcome::failed(format!("invalid name: {why}")))
}

fn database_not_found(db: &str) -> Outcome {
    Outcome::failed(format!("database not found: {db}"))
}
