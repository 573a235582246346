//! Any bytes as a query: it is refused with a short sentence, or its statements, written down and read again, are the same.

use std::time::Duration;

use ringest::write::query::influxql::{Policy, Statement, parse};

/// Longer than any sentence about a query, however long the query is.
const SENTENCE_BYTES_MAX: usize = 800;

/// # Panics
/// The statements do not survive being written down, or the error breaks what its documentation promises.
pub fn influxql(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse(&text) {
        Ok(statements) => {
            let written: Vec<String> = statements.iter().map(written).collect();
            assert_eq!(parse(&written.join(";")).as_ref(), Ok(&statements), "{written:?}");
            // What is behind the end of a statement is another one.
            let twice = [&statements[..], &statements].concat();
            assert_eq!(parse(&format!("{};\n{}", written.join("; "), written.join(";;"))), Ok(twice));
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(sentence.len() <= SENTENCE_BYTES_MAX, "{} bytes", sentence.len());
            assert!(sentence.starts_with("found ") && sentence.contains(", expected "), "{sentence}");
        }
    }
}

/// The statement in one of its spellings; of one that is not executed, the words that tell what it was.
fn written(statement: &Statement) -> String {
    match statement {
        Statement::CreateDatabase { name, policy } => {
            let options = options(policy);
            let with = if options.is_empty() { "" } else { " with" };
            format!("create DATABASE {}{with}{options}", quoted(name))
        }
        Statement::CreatePolicy { name, database, policy } => {
            format!("CREATE retention Policy {} ON {}{}", quoted(name), quoted(database), options(policy))
        }
        Statement::ShowDatabases => "show databases".to_owned(),
        Statement::ShowPolicies { database: None } => "SHOW RETENTION POLICIES".to_owned(),
        Statement::ShowPolicies { database: Some(database) } => {
            format!("SHOW RETENTION POLICIES on {}", quoted(database))
        }
        Statement::Unsupported { what } => format!("{what} 1"),
    }
}

fn options(policy: &Policy) -> String {
    let mut text = String::new();
    if policy.is_default {
        text += " DEFAULT";
    }
    if let Some(duration) = policy.duration {
        text += &format!(" DURATION {}ns", duration.as_ref().map_or(0, Duration::as_nanos));
    }
    if let Some(limit) = policy.limit {
        text += &format!(" {limit} LIMIT 1h");
    }
    if let Some(name) = &policy.name {
        text += &format!(" NAME {}", quoted(name));
    }
    text
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
