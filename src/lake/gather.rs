//! A column's values in file order, for one row group at a time.
//!
//! Memory beyond the input: the values of one column of one row group, and per column with a moderate number of gaps
//! three bits per input row (such a column has at least a byte per row itself).

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::table::{Chunked, FieldColumn, Move, Packed, Presence, Strings, Values};

use super::partition::DayPart;
use super::sort::{GROUP_ROWS, Sorted};

/// A column with fewer values than one row in eight is gathered value by value instead of row by row.
const SPARSE: usize = 8;

/// A row group ends before its strings take more than this many bytes, so that readers can hold one.
const GROUP_STRING_BYTES: usize = 64 << 20;

/// Of a row that another one takes the place of.
const NOWHERE: u32 = u32::MAX;

/// Which rows of a row group have a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filled {
    All,
    /// One byte per row, 1 if it has a value.
    Flags(Vec<u8>),
    /// The rows with a value, ascending.
    Rows(Vec<u32>),
    /// The rows with a value, ascending, with a gap between two ranges.
    Ranges(Vec<Range<u32>>),
}

/// Gathers the columns of one job.
pub(super) struct Gather<'a> {
    parts: &'a [Arc<DayPart>],
    sorted: &'a Sorted,
    /// By part and row: its position. Made when the first sparse column asks.
    positions: OnceLock<Vec<Vec<u32>>>,
    /// By row group and part: which row of the part goes to which of the group, ascending; without the earlier writes of points that
    /// were written more than once. Made when the first dense column asks.
    groups: OnceLock<Vec<Vec<Vec<Move>>>>,
    /// Where row groups end.
    ends: Vec<usize>,
}

/// The values of a column in one part.
pub(super) trait Stored: Copy {
    type Value: Copy + Default;

    /// Value `index`.
    fn value(self, index: usize) -> Self::Value;

    /// Writes values to places of `out`; `moves` ascend by the value.
    fn scatter(self, moves: &[Move], out: &mut [Self::Value]);
}

impl<P: Packed> Stored for &Chunked<P> {
    type Value = P::Value;

    #[inline]
    fn value(self, index: usize) -> P::Value {
        self.get(index)
    }

    fn scatter(self, moves: &[Move], out: &mut [P::Value]) {
        self.scatter(moves, out);
    }
}

impl<'a> Stored for &'a Strings {
    type Value = &'a [u8];

    #[inline]
    fn value(self, index: usize) -> &'a [u8] {
        self.get(index)
    }

    fn scatter(self, moves: &[Move], out: &mut [&'a [u8]]) {
        moves.iter().for_each(|Move { from, to }| out[*to as usize] = self.get(*from as usize));
    }
}

/// How to find the values of one column; lives as long as the job, so that every row group uses it again.
pub(super) enum Plan<'a> {
    /// No row has a value.
    Empty,
    /// By part.
    Dense(Vec<Lookup<'a>>),
    /// By part.
    Sparse(Vec<Option<&'a FieldColumn>>),
}

impl Plan<'_> {
    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        let Self::Dense(lookups) = self else {
            return 0;
        };
        lookups.iter().map(|lookup| if let Lookup::Bits { words, .. } = lookup { 12 * words.len() } else { 0 }).sum()
    }
}

/// From a row of a part to the index of its value.
pub(super) enum Lookup<'a> {
    /// The part has no value in this column.
    Missing,
    /// Value i belongs to row i; the first rows, so many, have one.
    Prefix(u32),
    /// Value i belongs to this row: for jobs whose rows all go to one row group, none of them written twice.
    Rows(&'a [u32]),
    /// A bit per row, and by word of bits how many values lie before it.
    Bits { words: Vec<u64>, before: Vec<u32> },
}

impl<'a> Lookup<'a> {
    fn new(part: &DayPart, column: Option<&'a FieldColumn>, one_group: bool) -> Self {
        let Some(column) = column else {
            return Self::Missing;
        };
        let Presence::Sparse(rows) = &column.presence else {
            return Self::Prefix(column.values.len() as u32);
        };
        if one_group {
            return Self::Rows(rows);
        }
        let mut words = vec![0u64; part.rows().div_ceil(64)];
        for row in rows {
            words[*row as usize / 64] |= 1 << (row % 64);
        }
        let mut sum = 0;
        let mut count_up = |word: &u64| {
            let before = sum;
            sum += word.count_ones();
            before
        };
        let before = words.iter().map(&mut count_up).collect();
        Self::Bits { words, before }
    }

    /// From moves of rows to moves of values, which are put into `found` if they are others.
    fn moves<'m>(&self, moves: &'m [Move], found: &'m mut Vec<Move>) -> &'m [Move] {
        found.clear();
        match self {
            Self::Missing => {}
            Self::Prefix(values) => return &moves[..moves.partition_point(|one| one.from < *values)],
            // All rows of the part move: move r is that of row r.
            Self::Rows(rows) => {
                found.extend((0..).zip(*rows).map(|(from, row)| Move { from, to: moves[*row as usize].to }));
            }
            Self::Bits { .. } => {
                let of_value = |one: &Move| self.find(one.from).map(|index| Move { from: index as u32, to: one.to });
                found.extend(moves.iter().filter_map(of_value));
            }
        }
        found
    }

    #[inline]
    fn find(&self, row: u32) -> Option<usize> {
        match self {
            Self::Missing => None,
            Self::Prefix(values) => (row < *values).then_some(row as usize),
            Self::Rows(rows) => rows.binary_search(&row).ok(),
            Self::Bits { words, before } => {
                let (word, bit) = (words[row as usize / 64], row % 64);
                let lower = word & ((1 << bit) - 1);
                (word >> bit & 1 == 1).then(|| (before[row as usize / 64] + lower.count_ones()) as usize)
            }
        }
    }
}

impl<'a> Gather<'a> {
    pub fn new(parts: &'a [Arc<DayPart>], sorted: &'a Sorted) -> Self {
        let mut gather = Self { parts, sorted, positions: OnceLock::new(), groups: OnceLock::new(), ends: Vec::new() };
        gather.ends = gather.cut();
        gather
    }

    pub fn row_groups(&self) -> Vec<Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| start..*end).collect()
    }

    /// The row group of a row.
    fn group_of(&self, row: usize) -> usize {
        self.ends.partition_point(|end| *end <= row)
    }

    /// Where row groups end.
    fn cut(&self) -> Vec<usize> {
        let rows = self.sorted.rows();
        let columns = self.parts.iter().flat_map(|part| &part.fields);
        let bytes = |values: &Values| if let Values::String(strings) = values { strings.items() } else { 0 };
        if columns.map(|(_, column)| bytes(&column.values)).sum::<usize>() <= GROUP_STRING_BYTES {
            return (0..rows).step_by(GROUP_ROWS).map(|start| rows.min(start + GROUP_ROWS)).collect();
        }
        let mut ends = Vec::new();
        let (mut start, mut sum) = (0, 0);
        for (row, bytes) in self.string_bytes().into_iter().enumerate() {
            sum += bytes as usize;
            if row > start && (row - start == GROUP_ROWS || sum > GROUP_STRING_BYTES) {
                ends.push(row);
                (start, sum) = (row, bytes as usize);
            }
        }
        ends.push(rows);
        ends
    }

    /// By row: the bytes of its strings. A point that was written more than once counts all of them.
    fn string_bytes(&self) -> Vec<u32> {
        let mut bytes = vec![0u32; self.sorted.rows()];
        let all = self.positions.get_or_init(|| self.positions());
        for (part, positions) in self.parts.iter().zip(all) {
            for (_, column) in &part.fields {
                let Values::String(strings) = &column.values else { continue };
                for index in 0..strings.len() {
                    let from = match &column.presence {
                        Presence::Dense => index,
                        Presence::Sparse(rows) => rows[index] as usize,
                    };
                    let row = &mut bytes[self.sorted.row_of(positions[from] as usize)];
                    *row = row.saturating_add(strings.get(index).len() as u32);
                }
            }
        }
        bytes
    }

    pub fn plan(&self, ordinal: u32) -> Plan<'a> {
        let columns: Vec<Option<&'a FieldColumn>> = self.parts.iter().map(|part| part.field(ordinal)).collect();
        let values: usize = columns.iter().flatten().map(|column| column.values.len()).sum();
        if values == 0 {
            Plan::Empty
        } else if values < self.sorted.sources.len() / SPARSE {
            Plan::Sparse(columns)
        } else {
            let one_group = self.ends.len() == 1 && self.sorted.is_unique();
            let lookup = |(part, column): (&Arc<DayPart>, _)| Lookup::new(part, column, one_group);
            Plan::Dense(self.parts.iter().zip(columns).map(lookup).collect())
        }
    }

    /// The values of `rows` without gaps into `out` (emptied first), and which rows have one. `stored`: the column's values by part.
    pub fn column<S: Stored>(
        &self,
        plan: &Plan<'_>,
        rows: Range<usize>,
        stored: &[S],
        out: &mut Vec<S::Value>,
    ) -> Filled {
        out.clear();
        match plan {
            Plan::Empty => Filled::Rows(Vec::new()),
            Plan::Dense(lookups) => self.dense(lookups, rows, stored, out),
            Plan::Sparse(columns) => self.sparse(columns, rows, stored, out),
        }
    }

    /// Reads the input in its order and writes to where its rows go, which is kinder to the caches than the reverse (a series' next value
    /// lies a whole round of series further).
    fn dense<S: Stored>(
        &self,
        lookups: &[Lookup<'_>],
        rows: Range<usize>,
        stored: &[S],
        out: &mut Vec<S::Value>,
    ) -> Filled {
        let whole = |(lookup, part): (&Lookup<'_>, &Arc<DayPart>)| matches!(lookup, Lookup::Prefix(n) if *n as usize == part.rows());
        let full = lookups.iter().zip(self.parts).all(whole);
        let groups = self.groups.get_or_init(|| self.groups());
        out.resize(rows.len(), S::Value::default());
        let mut flags = if full { Vec::new() } else { vec![0; rows.len()] };
        let group = &groups[self.group_of(rows.start)];
        if !full {
            // The last write that has the field wins, so those before the last one of a point come first.
            for (row, source) in self.sorted.earlier_writes(rows.clone()) {
                let part = source.part as usize;
                if let Some(index) = lookups[part].find(source.row) {
                    (out[row - rows.start], flags[row - rows.start]) = (stored[part].value(index), 1);
                }
            }
        }
        let mut found = Vec::new();
        for ((moves, lookup), stored) in group.iter().zip(lookups).zip(stored) {
            let moves = lookup.moves(moves, &mut found);
            stored.scatter(moves, out);
            if !full {
                moves.iter().for_each(|one| flags[one.to as usize] = 1);
            }
        }
        if full {
            return Filled::All;
        }
        let mut kept = 0;
        for row in 0..rows.len() {
            out[kept] = out[row];
            kept += usize::from(flags[row]);
        }
        out.truncate(kept);
        if kept == rows.len() { Filled::All } else { Filled::Flags(flags) }
    }

    /// By row group and part: the rows that go there, ascending.
    fn groups(&self) -> Vec<Vec<Vec<Move>>> {
        let row_groups = self.row_groups();
        let starts: Vec<usize> = row_groups.iter().map(|rows| rows.start).collect();
        let room = |rows: &Range<usize>, part: &Arc<DayPart>| {
            Vec::with_capacity(if self.parts.len() == 1 { rows.len() } else { part.rows() / starts.len() })
        };
        let mut groups: Vec<Vec<Vec<Move>>> =
            row_groups.iter().map(|rows| self.parts.iter().map(|part| room(rows, part)).collect()).collect();
        // Neighbours mostly go to one row group.
        let mut group = 0;
        for (part, targets) in self.targets().iter().enumerate() {
            for (from, target) in (0..).zip(targets).filter(|(_, target)| **target != NOWHERE) {
                if !row_groups[group].contains(&(*target as usize)) {
                    group = self.group_of(*target as usize);
                }
                groups[group][part].push(Move { from, to: *target - starts[group] as u32 });
            }
        }
        groups
    }

    fn sparse<S: Stored>(
        &self,
        columns: &[Option<&FieldColumn>],
        rows: Range<usize>,
        stored: &[S],
        out: &mut Vec<S::Value>,
    ) -> Filled {
        let all = self.positions.get_or_init(|| self.positions());
        let wanted = self.sorted.positions(rows.clone());
        let mut found: Vec<(u32, u32, u32)> = Vec::new();
        for (part, column) in columns.iter().enumerate() {
            let Some(column) = column else { continue };
            let positions = &all[part];
            let mut add = |row: usize, index: u32| {
                let position = positions[row];
                if wanted.contains(&(position as usize)) {
                    found.push((position, part as u32, index));
                }
            };
            match &column.presence {
                Presence::Dense => (0..column.values.len()).for_each(|index| add(index, index as u32)),
                Presence::Sparse(rows) => rows.iter().zip(0..).for_each(|(row, index)| add(*row as usize, index)),
            }
        }
        found.sort_unstable();
        let mut filled: Vec<u32> = Vec::with_capacity(found.len());
        for (position, part, index) in found {
            let row = (self.sorted.row_of(position as usize) - rows.start) as u32;
            let value = stored[part as usize].value(index as usize);
            match out.last_mut() {
                // Positions of one row ascend in order of writing.
                Some(last) if filled.last() == Some(&row) => *last = value,
                _ => {
                    filled.push(row);
                    out.push(value);
                }
            }
        }
        Filled::Rows(filled)
    }

    /// By part and row: the row of the file that it is the last write of, or `NOWHERE`.
    fn targets(&self) -> Vec<Vec<u32>> {
        if self.sorted.is_unique() {
            return self.positions();
        }
        let mut targets: Vec<Vec<u32>> = self.parts.iter().map(|part| vec![NOWHERE; part.rows()]).collect();
        for (row, source) in (0..).zip(self.sorted.last_writes()) {
            targets[source.part as usize][source.row as usize] = row;
        }
        targets
    }

    fn positions(&self) -> Vec<Vec<u32>> {
        let mut positions: Vec<Vec<u32>> = self.parts.iter().map(|part| vec![0; part.rows()]).collect();
        for (position, source) in (0..).zip(&self.sorted.sources) {
            positions[source.part as usize][source.row as usize] = position;
        }
        positions
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        let positions = self.positions.get().map_or(0, |_| size_of::<u32>());
        let moves = self.groups.get().map_or(0, |_| size_of::<Move>());
        (positions + moves) * self.sorted.sources.len()
    }
}
