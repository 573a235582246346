//! What `influx_inspect export` of InfluxDB 1.x puts around its line protocol: comments that name database and retention policy of the lines
//! behind them, and a section of statements, which are no line protocol.
//!
//! ```text
//! # INFLUXDB EXPORT: 1677-09-21T00:12:43Z - 2262-04-11T23:47:16Z
//! # DDL
//! CREATE DATABASE "stats" WITH NAME weekly
//! # DML
//! # CONTEXT-DATABASE:stats
//! # CONTEXT-RETENTION-POLICY:weekly
//! # writing tsm data
//! cpu,host=a usage=1.5 1767225600000000000
//! ```

use std::sync::Arc;

use crate::config::Buckets;
use crate::line::point_lines;

const STATEMENTS: &[u8] = b"# DDL";
const LINES: &[u8] = b"# DML";
const DATABASE: &[u8] = b"# CONTEXT-DATABASE:";
const POLICY: &[u8] = b"# CONTEXT-RETENTION-POLICY:";

/// What the lines before say of those that come.
#[derive(Debug, Default)]
pub struct Context {
    database: Option<String>,
    policy: String,
    /// The bucket that they stand for.
    pub bucket: Option<Arc<str>>,
    /// Statements come.
    pub in_statements: bool,
}

/// Where the first line of `lines` begins that a [`Context`] wants to read. `lines` begins with a whole line.
pub fn marker(lines: &[u8]) -> Option<usize> {
    let starts_line = |at: &usize| *at == 0 || lines[*at - 1] == b'\n';
    let is_marker = |at: &usize| [STATEMENTS, DATABASE, POLICY].iter().any(|mark| lines[*at..].starts_with(mark));
    let mut marks = memchr::memchr_iter(b'#', lines).filter(starts_line).filter(is_marker).peekable();
    marks.peek()?;
    // A string may hold what looks like one.
    let end = lines.len();
    for line in point_lines(lines).chain(std::iter::once(end..end)) {
        while let Some(at) = marks.next_if(|at| *at < line.end) {
            if at < line.start {
                return Some(at);
            }
        }
    }
    None
}

impl Context {
    /// Reads a line that [`marker`] has found.
    pub fn read(&mut self, line: &[u8]) {
        let value =
            |name: &[u8]| line.strip_prefix(name).map(|value| String::from_utf8_lossy(value.trim_ascii()).into_owned());
        if let Some(database) = value(DATABASE) {
            self.database = Some(database);
        } else if let Some(policy) = value(POLICY) {
            self.policy = policy;
        } else {
            self.in_statements = true;
        }
        let configured = Buckets::default();
        let database = self.database.as_deref().filter(|database| !database.is_empty());
        self.bucket = database.map(|database| configured.resolve(database, &self.policy).into());
    }

    /// Whether `line`, which stands among statements, is to be passed over. What is neither a statement nor a comment is taken for line
    /// protocol again, so that nothing gets lost in a file that does not end its section.
    pub fn passes_over(&mut self, line: &[u8]) -> bool {
        let line = line.trim_ascii();
        let is_comment = line.is_empty() || line.starts_with(b"#");
        self.in_statements = !line.starts_with(LINES) && (is_comment || is_statement(line));
        self.in_statements || is_comment
    }
}

/// Whether a line begins as InfluxQL does.
fn is_statement(line: &[u8]) -> bool {
    const WORDS: [&str; 7] = ["CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "SET", "USE"];
    let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_a_line_of_its_own() {
        assert_eq!(marker(b"m f=1\n# CONTEXT-DATABASE:a\n"), Some(6));
        assert_eq!(marker(b"# DDL\n"), Some(0));
        assert_eq!(marker(b"m f=\"\n# DDL\n\" 1\n# a comment\n \n# CONTEXT-RETENTION-POLICY:x\nm f=1\n"), Some(30));
        assert_eq!(marker(b"m f=\"\n# DDL\n\" 1\n#DDL\n# writing tsm data\n m,t=#\\ DDL f=1 # DDL\n"), None);
    }

    #[test]
    fn contexts_choose_the_bucket_as_a_write_does() {
        let mut context = Context::default();
        let mut bucket = |line: &str| {
            context.read(line.as_bytes());
            context.bucket.as_deref().map(str::to_owned)
        };
        assert_eq!(bucket("# CONTEXT-RETENTION-POLICY:autogen\n"), None);
        assert_eq!(bucket("# CONTEXT-DATABASE:my:db \r\n").as_deref(), Some("my:db"));
        assert_eq!(bucket("# CONTEXT-RETENTION-POLICY:weekly\n").as_deref(), Some("my:db/weekly"));
        assert_eq!(bucket("# CONTEXT-DATABASE:\n"), None);
    }

    #[test]
    fn statements_end_with_their_section_or_with_the_first_line_that_is_none() {
        let passed = |lines: &[&str]| {
            let mut context = Context { in_statements: true, ..Context::default() };
            let passed: Vec<bool> = lines.iter().map(|line| context.passes_over(line.as_bytes())).collect();
            (passed, context.in_statements)
        };
        assert_eq!(passed(&["CREATE DATABASE a WITH NAME b\n", "\n", "# c\n", "# DML\n"]), (vec![true; 4], false));
        assert_eq!(passed(&["create database a\r\n", "cpu,create=1 f=1\n"]), (vec![true, false], false));
    }
}
