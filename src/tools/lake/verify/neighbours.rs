//! Whether the files of a table agree on its columns: readers go wrong silently where they do not.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Fault;

const ADVICE: &str =
    "readers mistake one for the other; move the file that was not written by this node out of lake/, or write it anew";

/// A column as the first file has it.
struct First {
    name: String,
    kind: String,
    file: String,
}

/// The columns of all tables so far. They are compared in lower case, as many readers do.
#[derive(Default)]
pub struct Neighbours(Mutex<State>);

#[derive(Default)]
struct State {
    /// By the folder of the table, then by name.
    tables: HashMap<String, HashMap<String, First>>,
    faults: Vec<Fault>,
}

impl Neighbours {
    /// Takes the columns of a file, each with its type, and compares them with those of the files before it.
    pub fn compare<'a>(&self, table: &str, file: &str, columns: impl Iterator<Item = (&'a str, String)>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { tables, faults } = &mut *state;
        let known = tables.entry(table.to_owned()).or_default();
        for (name, kind) in columns {
            let first = known.entry(name.to_lowercase()).or_insert_with(|| First {
                name: name.to_owned(),
                kind: kind.clone(),
                file: file.to_owned(),
            });
            if (first.name.as_str(), &first.kind) != (name, &kind) {
                let First { name: other_name, kind: other_kind, file: other } = first;
                let what = format!("its column {name:?} is {kind}; in {other} {other_name:?} is {other_kind}");
                faults.push(Fault { file: file.to_owned(), what, advice: ADVICE });
            }
        }
    }

    pub fn into_faults(self) -> Vec<Fault> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).faults
    }
}
