//! The columns of a table, cheap to copy.

use std::ops::Index;
use std::sync::Arc;

use super::Column;

/// Columns in a chunk.
const CHUNK: usize = 128;

/// Columns by ordinal. A copy shares all chunks with its original but the one that grows, so that a birth costs hardly more in a table of
/// thousands of columns than in a narrow one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns<T> {
    /// All but the last are full.
    chunks: Vec<Arc<Vec<Column<T>>>>,
}

impl<T> Default for Columns<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Columns<T> {
    pub fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Column<T>> {
        self.from(0)
    }

    /// The columns with this ordinal and higher ones.
    pub fn from(&self, ordinal: usize) -> impl Iterator<Item = &Column<T>> {
        let chunks = self.chunks.iter().skip(ordinal / CHUNK);
        chunks.flat_map(|chunk| chunk.iter()).skip(ordinal % CHUNK)
    }
}

impl<T: Clone> Columns<T> {
    /// The oldest `count` columns, or all if they are fewer.
    pub fn first(&self, count: usize) -> Self {
        let mut chunks: Vec<_> = self.chunks.iter().take(count.div_ceil(CHUNK)).cloned().collect();
        if let Some(last) = chunks.pop() {
            let kept = &last[..last.len().min(count - chunks.len() * CHUNK)];
            chunks.push(if kept.len() < last.len() { Arc::new(kept.to_vec()) } else { last });
        }
        Self { chunks }
    }

    pub fn push(&mut self, column: Column<T>) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => Arc::make_mut(last).push(column),
            _ => self.chunks.push(Arc::new(vec![column])),
        }
    }
}

impl<T> Index<usize> for Columns<T> {
    type Output = Column<T>;

    fn index(&self, ordinal: usize) -> &Column<T> {
        &self.chunks[ordinal / CHUNK][ordinal % CHUNK]
    }
}

impl<T: Clone> FromIterator<Column<T>> for Columns<T> {
    fn from_iter<I: IntoIterator<Item = Column<T>>>(columns: I) -> Self {
        let mut all = Self::default();
        columns.into_iter().for_each(|column| all.push(column));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_the_columns_that_it_knew() {
        let column = |number: usize| Column { name: format!("c{number}").into(), parquet: "p".into(), kind: number };
        let mut columns = Columns::default();
        assert!(columns.is_empty());
        let mut copies = Vec::new();
        for number in 0..3 * CHUNK + 1 {
            copies.push(columns.clone());
            columns.push(column(number));
            assert_eq!((columns.len(), &columns[number]), (number + 1, &column(number)));
        }
        for (len, copy) in copies.iter().enumerate() {
            assert_eq!(copy.len(), len);
            assert!(copy.iter().cloned().eq((0..len).map(column)), "{len}");
            assert!(columns.from(len).cloned().eq((len..columns.len()).map(column)), "{len}");
            assert_eq!(*copy, (0..len).map(column).collect());
        }
    }
}
