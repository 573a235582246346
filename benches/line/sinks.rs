//! Two sinks: one that stores no values, and one that counts what the parser could not foresee.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use ringest::line::{
    End, ExpectedField, FieldName, Key, PADDING, Rest, Row, Sink, Vector, Word, begins_with, begins_with_short,
};

/// Foresees series and fields as the tables do, and adds values up instead of storing them.
pub struct Predicting {
    pub checksum: u64,
    hasher: RandomState,
    series: Vec<Series>,
    /// The keys, each with the space that ended it; then padding.
    keys: Vec<u8>,
    by_key: HashTable<u32>,
    /// The series of the last line.
    last: u32,
    tables: Vec<Table>,
    by_measurement: HashMap<Box<[u8]>, u32, RandomState>,
}

#[derive(Clone, Copy)]
pub struct Series {
    start: usize,
    /// With the space.
    len: u32,
    table: u32,
    /// The one that followed last time.
    next: u32,
}

#[derive(Default)]
struct Table {
    first: u32,
    fields: Vec<Field>,
    /// The fields of a row that had no strings, from which on all are expected to be like it, and room for their values.
    expected: Vec<ExpectedField>,
    words: Vec<u64>,
    /// The fields of the row in progress, as far as they have words, of the first rows.
    row: Vec<ExpectedField>,
    rows: usize,
    by_name: HashMap<Box<[u8]>, u32, RandomState>,
}

struct Field {
    /// `name=`, if it is at most 32 bytes.
    pattern: [u8; 32],
    len: usize,
    next: u32,
}

const NONE: u32 = u32::MAX;
/// Rows of a table after which it learns no more.
const ROWS_LEARNT: usize = 16;

impl Predicting {
    pub fn new() -> Self {
        Self {
            checksum: 0,
            hasher: RandomState::default(),
            series: Vec::new(),
            keys: vec![0; PADDING],
            by_key: HashTable::new(),
            last: NONE,
            tables: Vec::new(),
            by_measurement: HashMap::default(),
        }
    }

    /// Remembers that `series` followed the last line's.
    fn follow(&mut self, series: u32) -> u32 {
        if let Some(last) = self.series.get_mut(self.last as usize) {
            last.next = series;
        }
        self.last = series;
        series
    }

    fn remember(&mut self, raw: &[u8], table: u32) -> u32 {
        let start = self.keys.len() - PADDING;
        self.keys.truncate(start);
        self.keys.extend_from_slice(raw);
        self.keys.push(b' ');
        self.keys.resize(start + raw.len() + 1 + PADDING, 0);
        let number = self.series.len() as u32;
        self.series.push(Series { start, len: raw.len() as u32 + 1, table, next: 0 });
        let Self { by_key, hasher, series, keys, .. } = self;
        by_key
            .insert_unique(hasher.hash_one(raw), number, |number| hasher.hash_one(series[*number as usize].key(keys)));
        number
    }
}

impl Series {
    fn key(self, keys: &[u8]) -> &[u8] {
        &keys[self.start..self.start + self.len as usize - 1]
    }
}

impl Sink for Predicting {
    type Series = u32;
    type Row<'r> = Sum<'r>;

    #[inline(always)]
    fn expected_series<V: Vector>(&mut self, rest: Rest<'_>) -> Option<(u32, usize)> {
        let next = self.series.get(self.last as usize)?.next;
        let series = self.series.get(next as usize)?;
        let len = series.len as usize;
        if !begins_with::<V>(rest, &self.keys[series.start..], len) {
            return None;
        }
        self.last = next;
        Some((next, len - 1))
    }

    fn known_series(&mut self, key: &[u8]) -> Option<u32> {
        let Self { by_key, hasher, series, keys, .. } = self;
        let hash = hasher.hash_one(key);
        let number = *by_key.find(hash, |number| series[*number as usize].key(keys) == key)?;
        Some(self.follow(number))
    }

    fn new_series(&mut self, raw: &[u8], key: &Key<'_, '_>) -> u32 {
        let tables = self.tables.len() as u32;
        let table = match self.by_measurement.get(key.measurement) {
            Some(table) => *table,
            None => {
                self.by_measurement.insert(key.measurement.into(), tables);
                self.tables.push(Table { first: NONE, ..Table::default() });
                tables
            }
        };
        self.checksum ^= key.tags.iter().map(|tag| (tag.key.len() ^ tag.value.len()) as u64).sum::<u64>();
        let number = self.remember(raw, table);
        self.follow(number)
    }

    #[inline(always)]
    fn row(&mut self, series: u32) -> Sum<'_> {
        let table = &mut self.tables[self.series[series as usize].table as usize];
        let expected = table.first;
        Sum { checksum: &mut self.checksum, table, before: NONE, expected, whole: true }
    }

    fn take_back(&mut self) {
        unreachable!("no point is refused");
    }
}

/// The sum with the values of one point.
pub struct Sum<'r> {
    checksum: &'r mut u64,
    table: &'r mut Table,
    /// The field that came last, and the one that should follow.
    before: u32,
    expected: u32,
    /// All its fields have words.
    whole: bool,
}

impl Sum<'_> {
    #[inline(always)]
    fn add(&mut self, value: u64) {
        *self.checksum = self.checksum.wrapping_add(value);
    }

    #[inline(always)]
    fn add_word(&mut self, value: u64, word: Word) {
        if self.table.rows < ROWS_LEARNT {
            self.learn(Some(word));
        }
        self.add(value);
    }

    /// What the field that came last is, if it has a word.
    #[cold]
    fn learn(&mut self, word: Option<Word>) {
        let field = &self.table.fields[self.before as usize];
        let expected = word.and_then(|word| ExpectedField::new(&field.pattern[..field.len.max(1) - 1], word));
        self.whole &= expected.is_some();
        self.table.row.extend(expected);
    }

    /// The row is complete.
    #[cold]
    fn learn_row(&mut self) {
        let row = std::mem::take(&mut self.table.row);
        if self.whole {
            self.table.words = vec![0; row.len()];
            self.table.expected = row;
        }
        self.table.rows += 1;
    }
}

impl Row for Sum<'_> {
    #[inline(always)]
    fn expected_fields(&mut self) -> Option<(&mut [ExpectedField], &mut [u64])> {
        let Table { expected, words, rows, .. } = &mut *self.table;
        (*rows >= ROWS_LEARNT && !expected.is_empty()).then_some((expected, words))
    }

    #[inline(always)]
    fn expected_came(&mut self, count: usize, _: bool) {
        let sum = self.table.words[..count].iter().fold(0, |sum: u64, word| sum.wrapping_add(*word));
        self.add(sum);
    }

    #[inline(always)]
    fn expected_field<V: Vector>(&mut self, rest: Rest<'_>) -> Option<usize> {
        // Fields that are missing from a line are passed over, a few of them.
        for _ in 0..4 {
            let field = self.table.fields.get(self.expected as usize)?;
            if field.len > 0 && begins_with_short::<V>(rest, &field.pattern, field.len) {
                self.before = self.expected;
                self.expected = field.next;
                return Some(field.len - 1);
            }
            self.expected = field.next;
        }
        None
    }

    fn field<V: Vector>(&mut self, _: Rest<'_>, FieldName { raw, .. }: FieldName<'_>) {
        let number = match self.table.by_name.get(raw) {
            Some(number) => *number,
            None => {
                let number = self.table.fields.len() as u32;
                self.table.by_name.insert(raw.into(), number);
                self.table.fields.push(Field::new(raw));
                number
            }
        };
        match self.table.fields.get_mut(self.before as usize) {
            Some(before) => before.next = number,
            None => self.table.first = number,
        }
        self.before = number;
        self.expected = self.table.fields[number as usize].next;
    }

    #[inline(always)]
    fn float(&mut self, value: f64) {
        self.add_word(value.to_bits(), Word::Float);
    }
    #[inline(always)]
    fn integer(&mut self, value: i64) {
        self.add_word(value as u64, Word::Integer);
    }
    #[inline(always)]
    fn unsigned(&mut self, value: u64) {
        self.add_word(value, Word::Unsigned);
    }
    #[inline(always)]
    fn boolean(&mut self, value: bool) {
        self.add_word(u64::from(value), Word::Boolean);
    }
    #[inline(always)]
    fn string(&mut self, raw: &[u8], escaped: bool) {
        if self.table.rows < ROWS_LEARNT {
            self.learn(None);
        }
        self.add(raw.len() as u64 ^ u64::from(escaped));
    }
    #[inline(always)]
    fn point(&mut self, time_ns: i64) -> End {
        self.add(time_ns as u64);
        if self.table.rows < ROWS_LEARNT {
            self.learn_row();
        }
        End::Written
    }
}

impl Field {
    fn new(raw: &[u8]) -> Self {
        let mut field = Self { pattern: [0; 32], len: 0, next: NONE };
        if raw.len() < 32 {
            field.len = raw.len() + 1;
            field.pattern[..raw.len()].copy_from_slice(raw);
            field.pattern[raw.len()] = b'=';
        }
        field
    }
}

/// Counts the points for which the sink is asked for no series and no field by name.
pub struct Counting<S> {
    sink: S,
    foreseen: u64,
    /// The point in progress was not foreseen.
    asked: bool,
}

impl<S: Sink> Counting<S> {
    pub fn new(sink: S) -> Self {
        Self { sink, foreseen: 0, asked: false }
    }

    /// The sink and its count.
    pub fn into_parts(self) -> (S, u64) {
        (self.sink, self.foreseen)
    }
}

impl<S: Sink> Sink for Counting<S> {
    type Series = S::Series;
    type Row<'r>
        = CountingRow<'r, S::Row<'r>>
    where
        S: 'r;

    fn expected_series<V: Vector>(&mut self, rest: Rest<'_>) -> Option<(S::Series, usize)> {
        self.sink.expected_series::<V>(rest)
    }
    fn known_series(&mut self, key: &[u8]) -> Option<S::Series> {
        self.asked = true;
        self.sink.known_series(key)
    }
    fn new_series(&mut self, raw: &[u8], key: &Key<'_, '_>) -> S::Series {
        self.asked = true;
        self.sink.new_series(raw, key)
    }
    fn row(&mut self, series: S::Series) -> Self::Row<'_> {
        CountingRow { row: self.sink.row(series), foreseen: &mut self.foreseen, asked: &mut self.asked }
    }
    fn take_back(&mut self) {
        self.sink.take_back();
    }
}

/// A point of [`Counting`].
pub struct CountingRow<'r, R> {
    row: R,
    foreseen: &'r mut u64,
    asked: &'r mut bool,
}

impl<R: Row> Row for CountingRow<'_, R> {
    fn expected_fields(&mut self) -> Option<(&mut [ExpectedField], &mut [u64])> {
        self.row.expected_fields()
    }
    fn expected_came(&mut self, count: usize, more: bool) {
        self.row.expected_came(count, more);
    }
    fn expected_field<V: Vector>(&mut self, rest: Rest<'_>) -> Option<usize> {
        self.row.expected_field::<V>(rest)
    }
    fn field<V: Vector>(&mut self, rest: Rest<'_>, name: FieldName<'_>) {
        *self.asked = true;
        self.row.field::<V>(rest, name);
    }
    fn float(&mut self, value: f64) {
        self.row.float(value);
    }
    fn integer(&mut self, value: i64) {
        self.row.integer(value);
    }
    fn unsigned(&mut self, value: u64) {
        self.row.unsigned(value);
    }
    fn boolean(&mut self, value: bool) {
        self.row.boolean(value);
    }
    fn string(&mut self, raw: &[u8], escaped: bool) {
        self.row.string(raw, escaped);
    }
    fn point(&mut self, time_ns: i64) -> End {
        *self.foreseen += u64::from(!std::mem::take(self.asked));
        self.row.point(time_ns)
    }
}
