//! As much of InfluxQL as client libraries say when they start: statements are told apart, and those that the node executes are read whole.

use std::time::Duration;

use super::token::{Scanner, Token};

pub use super::token::SyntaxError;

/// One statement of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    CreateDatabase {
        name: String,
        policy: Policy,
    },
    CreatePolicy {
        name: String,
        database: String,
        policy: Policy,
    },
    ShowDatabases,
    ShowPolicies {
        database: Option<String>,
    },
    /// InfluxQL that the node does not execute; its first words.
    Unsupported {
        what: String,
    },
}

/// What a statement says of a retention policy. Numbers of replicas and durations of shard groups are read and mean nothing here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The inner `None`: for ever.
    pub duration: Option<Option<Duration>>,
    /// `NAME "rp"`, of the database's default policy.
    pub name: Option<String>,
    /// `DEFAULT`: to be the database's default policy.
    pub is_default: bool,
    /// A limit that the node would not keep.
    pub limit: Option<&'static str>,
}

/// The words that statements begin with.
const VERBS: &str = "SELECT DELETE SHOW CREATE DROP EXPLAIN GRANT REVOKE ALTER SET KILL";

/// The words that can stand behind a verb, as far as they say what is asked for.
const NOUNS: &str = "\
    ANALYZE CARDINALITY CONTINUOUS DATABASE DATABASES DIAGNOSTICS EXACT FIELD GRANTS GROUPS KEY KEYS MEASUREMENT \
    MEASUREMENTS PASSWORD POLICIES POLICY PRIVILEGES QUERIES QUERY RETENTION SELECT SERIES SHARD SHARDS STATS \
    SUBSCRIPTION SUBSCRIPTIONS TAG USER USERS VALUES";

/// What the option list of a statement may hold.
const OF_DATABASE: &str = "DURATION REPLICATION SHARD FUTURE PAST NAME";
const OF_POLICY: &str = "DURATION REPLICATION SHARD FUTURE PAST DEFAULT";

/// Most replicas that InfluxQL knows.
const REPLICAS_MAX: u64 = i32::MAX as u64;

/// Reads a query: statements, separated by `;`.
///
/// # Errors
/// The first place where the text is no InfluxQL; none of its statements is to be executed then.
pub fn parse(text: &str) -> Result<Vec<Statement>, SyntaxError> {
    let mut parser = Parser { scanner: Scanner::new(text), next: None };
    let mut statements = Vec::new();
    loop {
        while parser.takes_symbol(';')? {}
        if *parser.peek()? == Token::End {
            return Ok(statements);
        }
        statements.push(parser.statement()?);
        if *parser.peek()? != Token::End && !parser.takes_symbol(';')? {
            return Err(parser.unexpected(";, EOF"));
        }
    }
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    /// Read ahead.
    next: Option<Token<'a>>,
}

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Result<&Token<'a>, SyntaxError> {
        let token = match self.next.take() {
            Some(token) => token,
            None => self.scanner.next()?,
        };
        Ok(self.next.insert(token))
    }

    fn take(&mut self) -> Result<Token<'a>, SyntaxError> {
        self.peek()?;
        Ok(self.next.take().unwrap_or(Token::End))
    }

    fn takes_symbol(&mut self, symbol: char) -> Result<bool, SyntaxError> {
        let is_there = *self.peek()? == Token::Symbol(symbol);
        if is_there {
            self.next = None;
        }
        Ok(is_there)
    }

    /// Takes the next token if it is one of these words, which blanks separate, in any case.
    fn takes_one_of(&mut self, words: &'static str) -> Result<Option<&'static str>, SyntaxError> {
        let Token::Word(word) = self.peek()? else { return Ok(None) };
        let found = words.split(' ').find(|known| known.eq_ignore_ascii_case(word));
        if found.is_some() {
            self.next = None;
        }
        Ok(found)
    }

    fn takes(&mut self, word: &'static str) -> Result<bool, SyntaxError> {
        Ok(self.takes_one_of(word)?.is_some())
    }

    fn expect(&mut self, word: &'static str) -> Result<(), SyntaxError> {
        if self.takes(word)? { Ok(()) } else { Err(self.unexpected(word)) }
    }

    /// The sentence about the token that comes next.
    fn unexpected(&mut self, expected: &str) -> SyntaxError {
        match self.take() {
            Ok(found) => self.scanner.error_at_last(&found, expected),
            Err(error) => error,
        }
    }

    fn unexpected_of(&mut self, words: &str) -> SyntaxError {
        self.unexpected(&words.replace(' ', ", "))
    }

    fn statement(&mut self) -> Result<Statement, SyntaxError> {
        let Some(verb) = self.takes_one_of(VERBS)? else { return Err(self.unexpected_of(VERBS)) };
        let mut nouns = Vec::new();
        if verb != "SELECT" && verb != "DELETE" {
            while let Some(noun) = self.takes_one_of(NOUNS)? {
                nouns.push(noun);
            }
        }
        match (verb, nouns.as_slice()) {
            ("CREATE", ["DATABASE"]) => self.create_database(),
            ("CREATE", ["RETENTION", "POLICY"]) => self.create_policy(),
            ("SHOW", ["DATABASES"]) => Ok(Statement::ShowDatabases),
            ("SHOW", ["RETENTION", "POLICIES"]) => {
                let database = if self.takes("ON")? { Some(self.identifier()?) } else { None };
                Ok(Statement::ShowPolicies { database })
            }
            ("SHOW" | "CREATE" | "DROP" | "ALTER" | "KILL" | "SET", []) => Err(self.unexpected_of(NOUNS)),
            _ => {
                while !matches!(self.peek()?, Token::End | Token::Symbol(';')) {
                    self.take()?;
                }
                nouns.insert(0, verb);
                Ok(Statement::Unsupported { what: nouns.join(" ") })
            }
        }
    }

    /// Behind `CREATE DATABASE`.
    fn create_database(&mut self) -> Result<Statement, SyntaxError> {
        let name = self.identifier()?;
        let policy = if self.takes("WITH")? { self.policy(OF_DATABASE)? } else { Policy::default() };
        Ok(Statement::CreateDatabase { name, policy })
    }

    /// Behind `CREATE RETENTION POLICY`.
    fn create_policy(&mut self) -> Result<Statement, SyntaxError> {
        let name = self.identifier()?;
        self.expect("ON")?;
        let database = self.identifier()?;
        let policy = self.policy(OF_POLICY)?;
        if policy.duration.is_none() {
            return Err(self.unexpected("DURATION"));
        }
        Ok(Statement::CreatePolicy { name, database, policy })
    }

    /// At least one option, in any order; the later of two wins.
    fn policy(&mut self, known: &'static str) -> Result<Policy, SyntaxError> {
        let mut policy = Policy::default();
        let Some(mut option) = self.takes_one_of(known)? else { return Err(self.unexpected_of(known)) };
        loop {
            match option {
                "DURATION" => policy.duration = Some(self.duration()?),
                "REPLICATION" => self.replicas()?,
                "SHARD" => {
                    self.expect("DURATION")?;
                    self.duration()?;
                }
                "NAME" => policy.name = Some(self.identifier()?),
                "DEFAULT" => policy.is_default = true,
                limit => {
                    self.expect("LIMIT")?;
                    self.duration()?;
                    policy.limit = Some(limit);
                }
            }
            match self.takes_one_of(known)? {
                Some(next) => option = next,
                None => return Ok(policy),
            }
        }
    }

    fn identifier(&mut self) -> Result<String, SyntaxError> {
        match self.peek()? {
            Token::Name(name) => {
                let name = name.clone();
                self.next = None;
                Ok(name)
            }
            Token::Word(word) if !super::token::is_reserved(word) => {
                let name = (*word).to_owned();
                self.next = None;
                Ok(name)
            }
            _ => Err(self.unexpected("identifier")),
        }
    }

    fn replicas(&mut self) -> Result<(), SyntaxError> {
        let Token::Number(text) = *self.peek()? else { return Err(self.unexpected("integer")) };
        match text.parse() {
            Ok(1..=REPLICAS_MAX) => {
                self.next = None;
                Ok(())
            }
            _ => Err(self.unexpected("a number from 1 to 2147483647")),
        }
    }

    /// `None`: for ever, which is `INF` or nothing.
    fn duration(&mut self) -> Result<Option<Duration>, SyntaxError> {
        if self.takes("INF")? {
            return Ok(None);
        }
        let Token::Number(text) = *self.peek()? else { return Err(self.unexpected("duration")) };
        match duration_of(text) {
            Some(duration) => {
                self.next = None;
                Ok(Some(duration).filter(|duration| !duration.is_zero()))
            }
            None => Err(self.unexpected("duration of ns, u, ms, s, m, h, d or w that is not too long")),
        }
    }
}

/// `7d`, `1h30m`; at most as many nanoseconds as a time can have.
fn duration_of(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut ns: u64 = 0;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at(unit_at);
        let next_at = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(next_at);
        let unit_ns = match unit {
            "ns" => 1,
            "u" | "µ" | "μ" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        ns = number.parse::<u64>().ok()?.checked_mul(unit_ns)?.checked_add(ns)?;
        rest = behind;
    }
    (!text.is_empty() && i64::try_from(ns).is_ok()).then_some(Duration::from_nanos(ns))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn one(text: &str) -> Statement {
        let statements = parse(text).unwrap();
        assert_eq!(statements.len(), 1, "{statements:?}");
        statements[0].clone()
    }

    fn database(name: &str, policy: Policy) -> Statement {
        Statement::CreateDatabase { name: name.to_owned(), policy }
    }

    fn lasting(seconds: u64) -> Policy {
        Policy { duration: Some((seconds > 0).then_some(Duration::from_secs(seconds))), ..Policy::default() }
    }

    #[test]
    fn names_are_bare_or_quoted_and_keywords_in_any_case() {
        assert_eq!(one("CREATE DATABASE telegraf"), database("telegraf", Policy::default()));
        assert_eq!(
            one("create\tdatabase \"a \\\"b\\\" \\\\ \\n;c\" ;"),
            database("a \"b\" \\ \n;c", Policy::default())
        );
        assert_eq!(one("-- a comment; here\nshow /* and; here */ databases"), Statement::ShowDatabases);
        assert_eq!(one("show retention policies on db"), Statement::ShowPolicies { database: Some("db".into()) });
        assert_eq!(one("SHOW RETENTION POLICIES"), Statement::ShowPolicies { database: None });
        assert_eq!(one("CREATE DATABASE \"database\""), database("database", Policy::default()));
    }

    #[test]
    fn options_are_read_in_any_order() {
        let named = Policy { name: Some("rp".into()), ..lasting(90_000) };
        let text = "CREATE DATABASE x WITH DURATION 1d1h REPLICATION 1 SHARD DURATION 1h NAME \"rp\"";
        assert_eq!(one(text), database("x", named));
        for (duration, seconds) in [("INF", 0), ("0s", 0), ("2w", 1_209_600), ("90m", 5_400), ("1500ms1500ms", 3)] {
            let text = format!("CREATE RETENTION POLICY r ON x REPLICATION 2 DURATION {duration} DEFAULT");
            let policy = Policy { is_default: true, ..lasting(seconds) };
            assert_eq!(one(&text), Statement::CreatePolicy { name: "r".into(), database: "x".into(), policy });
        }
        let limited = Policy { limit: Some("FUTURE"), ..Policy::default() };
        assert_eq!(one("CREATE DATABASE x WITH FUTURE LIMIT 1h"), database("x", limited));
    }

    #[test]
    fn what_is_not_executed_is_named_and_passed_over() {
        for (text, what) in [
            ("SELECT mean(\"v\") FROM \"m\" WHERE \"h\" = ';' AND t =~ /a;'\\/b/ GROUP BY time(1m)", "SELECT"),
            ("DROP DATABASE \"x\"", "DROP DATABASE"),
            ("show tag keys from /cpu;'x/", "SHOW TAG KEYS"),
            ("SHOW FIELD KEYS ON x", "SHOW FIELD KEYS"),
            ("DELETE FROM m", "DELETE"),
            ("ALTER RETENTION POLICY r ON x DURATION 1h", "ALTER RETENTION POLICY"),
            ("CREATE USER u WITH PASSWORD 'secret;'", "CREATE USER"),
            ("GRANT ALL ON x TO u", "GRANT"),
        ] {
            assert_eq!(one(text), Statement::Unsupported { what: what.into() }, "{text}");
        }
        assert_eq!(parse("SHOW DATABASES; SELECT 1/2;; show databases").unwrap().len(), 3);
        assert_eq!(parse(" ; ").unwrap(), []);
    }

    #[test]
    fn what_is_no_influxql_is_refused_with_its_place() {
        for (text, expected) in [
            (
                "FOO",
                "found FOO, expected SELECT, DELETE, SHOW, CREATE, DROP, EXPLAIN, GRANT, REVOKE, ALTER, SET, KILL at line 1, char 1",
            ),
            ("CREATE DATABASE", "found EOF, expected identifier at line 1, char 16"),
            ("CREATE DATABASE\n  with", "found with, expected identifier at line 2, char 3"),
            ("CREATE DATABASE a b", "found b, expected ;, EOF at line 1, char 19"),
            (
                "CREATE DATABASE a WITH",
                "found EOF, expected DURATION, REPLICATION, SHARD, FUTURE, PAST, NAME at line 1, char 23",
            ),
            ("CREATE RETENTION POLICY r ON x REPLICATION 1", "found EOF, expected DURATION at line 1, char 45"),
            (
                "CREATE DATABASE a WITH DURATION 1y",
                "found 1y, expected duration of ns, u, ms, s, m, h, d or w that is not too long at line 1, char 33",
            ),
            ("CREATE DATABASE a WITH DURATION -1h", "found -, expected duration at line 1, char 33"),
            (
                "CREATE DATABASE a WITH REPLICATION 0",
                "found 0, expected a number from 1 to 2147483647 at line 1, char 36",
            ),
            (
                "CREATE DATABASE \"a",
                "found a string without end or with an unknown escape, expected a closing quote at line 1, char 17",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
        }
        for refused in [
            "CREATE DATABASE a WITH DURATION 99999w9999999999w",
            "CREATE DATABASE a WITH DURATION 20000w",
            "DROP 'x",
            "\0",
        ] {
            assert!(parse(refused).is_err(), "{refused}");
        }
        let password = parse("SHOW DATABASES 'secret'").unwrap_err().to_string();
        assert!(!password.contains("secret"), "{password}");
    }
}
