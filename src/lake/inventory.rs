//! The committed files of the lake, by table and day. What else lies in its folders is not ringest's to touch.

use std::collections::{BTreeMap, BTreeSet};

use super::partition::FileName;

/// Files of one folder, in order of writing.
pub(super) type Files = BTreeSet<FileName>;

/// By folder, relative to the data directory. A folder without files is not listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inventory(BTreeMap<Box<str>, Files>);

impl Inventory {
    /// A committed file, relative to the data directory. A name that ringest does not give is passed over.
    pub fn add(&mut self, path: &str) {
        let Some((folder, name)) = split(path) else { return };
        match self.0.get_mut(folder) {
            Some(files) => files.insert(name),
            None => self.0.entry(folder.into()).or_default().insert(name),
        };
    }

    pub fn remove(&mut self, path: &str) {
        let Some((folder, name)) = split(path) else { return };
        let Some(files) = self.0.get_mut(folder) else { return };
        files.remove(&name);
        if files.is_empty() {
            self.0.remove(folder);
        }
    }

    pub fn contains(&self, path: &str) -> bool {
        split(path).is_some_and(|(folder, name)| self.0.get(folder).is_some_and(|files| files.contains(&name)))
    }

    /// Whether a file of the lake may have this path.
    pub fn has_place_for(path: &str) -> bool {
        let folders = |folder: &str| folder.split('/').all(|name| !["", ".", ".."].contains(&name));
        path.starts_with("lake/") && split(path).is_some_and(|(folder, _)| folders(folder))
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Ordered by folder and then in order of writing.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(folder, files)| files.iter().map(move |name| format!("{folder}/{name}")))
    }

    /// The files of a folder, in order of writing.
    pub fn files(&self, folder: &str) -> Vec<FileName> {
        self.0.get(folder).map_or_else(Vec::new, |files| files.iter().copied().collect())
    }

    /// Folders in the order of their names, each with at least one file.
    pub fn folders(&self) -> impl Iterator<Item = (&str, &Files)> {
        self.0.iter().map(|(folder, files)| (&**folder, files))
    }
}

impl<'a> FromIterator<&'a str> for Inventory {
    fn from_iter<I: IntoIterator<Item = &'a str>>(paths: I) -> Self {
        let mut inventory = Self::default();
        paths.into_iter().for_each(|path| inventory.add(path));
        inventory
    }
}

fn split(path: &str) -> Option<(&str, FileName)> {
    let (folder, name) = path.rsplit_once('/')?;
    Some((folder, FileName::parse(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_folder_in_order_of_writing() {
        let file = |day: u32, epoch: u64, n: u32| {
            format!("lake/b/m/day=2026-01-0{day}/{epoch:013}-{n:04}-00000000000000ab.parquet")
        };
        let files = [file(2, 7, 0), file(1, 9, 0), file(1, 8, 1), file(1, 8, 0)];
        let mut inventory: Inventory = files.iter().map(|file| &**file).collect();
        inventory.add("lake/b/m/day=2026-01-01/foreign.parquet");
        let found: Vec<String> = inventory
            .folders()
            .flat_map(|(folder, files)| files.iter().map(move |name| format!("{folder}/{name}")))
            .collect();
        assert_eq!(found, [file(1, 8, 0), file(1, 8, 1), file(1, 9, 0), file(2, 7, 0)]);
        inventory.remove(&file(2, 7, 0));
        inventory.remove(&file(2, 7, 0));
        assert!(!inventory.contains(&file(2, 7, 0)) && inventory.contains(&file(1, 8, 1)));
        assert_eq!(inventory.folders().count(), 1);
    }
}
