//! The order of series: by the values of their tags, tag columns in Parquet order, an absent tag before every value.
//!
//! Values are ranked per tag column first, so that series compare as short lists of integers and the same series of
//! two shards meet. Most tables fit the ranks of all tags into one 64-bit key; the lists decide where keys are equal.

use std::ops::Range;
use std::sync::Arc;

use crate::catalog::Table;
use crate::table::Strings;

use super::partition::DayPart;

/// All series of a job in order. Series are named by their place in it.
#[derive(Debug)]
pub(super) struct SeriesOrder {
    /// By part.
    places: Vec<Places>,
    /// How many places there are.
    len: usize,
    tags: ByColumn,
    /// By tag column.
    pub dictionaries: Vec<Dictionary>,
}

/// The tags of all series turned round: so a column costs the series that have it, and not all.
#[derive(Debug)]
struct ByColumn {
    /// Tag columns end to end, places ascending in each.
    pairs: Vec<PlaceRank>,
    /// By tag column: where its pairs end.
    ends: Vec<usize>,
}

/// The series with this place has the value with this rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PlaceRank {
    pub place: u32,
    pub rank: u32,
}

/// The distinct values of a tag column, ascending bytewise. Rank 1 is the first.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    /// Part and index in the part's `values` of this tag.
    values: Vec<(u32, u32)>,
    /// Ordinal of the tag in the table.
    tag: usize,
}

impl Dictionary {
    /// The value with this rank (from 1).
    pub fn value<'a>(&self, parts: &'a [Arc<DayPart>], rank: u32) -> &'a [u8] {
        let (part, value) = self.values[rank as usize - 1];
        parts[part as usize].keys.values[self.tag].get(value as usize)
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }
}

/// From a part's series to their places.
#[derive(Debug)]
enum Places {
    All(Vec<u32>),
    /// Few of the part's series have rows here: the used ones, ascending, and their places.
    Few(Vec<u32>, Vec<u32>),
}

/// The ordinals of the table's tags in Parquet column order: by column name, bytewise.
pub(super) fn tag_order(table: &Table) -> Vec<usize> {
    let mut order: Vec<usize> = (0..table.tags.len()).collect();
    order.sort_by(|a, b| table.tags[*a].parquet.as_bytes().cmp(table.tags[*b].parquet.as_bytes()));
    order
}

impl SeriesOrder {
    pub fn new(parts: &[Arc<DayPart>], table: &Table) -> Self {
        let tags = tag_order(table);
        let mut columns = vec![0; tags.len()];
        for (column, tag) in tags.iter().enumerate() {
            columns[*tag] = column;
        }
        let used: Vec<Used> = parts.iter().map(|part| Used::of(part)).collect();
        let ranked: Vec<(Dictionary, Vec<Ranks>)> = rank_all(parts, &used, &tags);
        let mut lists = Lists::default();
        for (index, (part, used)) in parts.iter().zip(&used).enumerate() {
            lists.add(index, part, used, &columns, &ranked);
        }
        let dictionaries: Vec<Dictionary> = ranked.into_iter().map(|(dictionary, _)| dictionary).collect();
        let widths: Vec<usize> = dictionaries.iter().map(Dictionary::len).collect();
        let (places, codes, ends) = lists.order(&widths);

        let mut places = places.into_iter();
        let places = parts.iter().zip(used).map(|(part, used)| match used {
            Used::All => Places::All(places.by_ref().take(part.keys.len()).collect()),
            Used::Few(used) => {
                let places = places.by_ref().take(used.len()).collect();
                Places::Few(used, places)
            }
        });
        let tags = ByColumn::new(&codes, &ends, dictionaries.len());
        Self { places: places.collect(), len: ends.len(), tags, dictionaries }
    }

    /// Bytes that `new` takes at most: ranks, lists of codes and their two orders, and dictionaries.
    pub fn bytes_to_sort(parts: &[Arc<DayPart>]) -> usize {
        const SERIES_BYTES: usize = 48;
        const PAIR_BYTES: usize = 24;
        const VALUE_BYTES: usize = 28;
        let bytes = parts.iter().map(|part| {
            let keys = &part.keys;
            // A part with few rows ranks their series alone.
            let series = keys.len().min(2 * part.rows());
            let pairs = keys.tags.items() / keys.len().max(1) * series + series;
            let values: usize = keys.values.iter().map(|values| values.len().min(pairs)).sum();
            let columns = keys.values.len() * size_of::<Ranks>();
            series * SERIES_BYTES + pairs * PAIR_BYTES + values * VALUE_BYTES + columns
        });
        bytes.sum()
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        let places = self.places.iter().map(|places| match places {
            Places::All(places) => 4 * places.len(),
            Places::Few(used, _) => 8 * used.len(),
        });
        let values = self.dictionaries.iter().map(|dictionary| 8 * dictionary.len());
        8 * (self.tags.pairs.len() + self.tags.ends.len()) + places.sum::<usize>() + values.sum::<usize>()
    }

    /// Calls `row` with row number and place for rows `rows` of part `part`.
    pub fn each_place(&self, parts: &[Arc<DayPart>], part: usize, rows: Range<usize>, mut row: impl FnMut(u32, u32)) {
        let series = &parts[part].series;
        let mut index = rows.start as u32;
        let mut row = |place| {
            row(index, place);
            index += 1;
        };
        match &self.places[part] {
            Places::All(places) => series.each(rows, |series| row(places[series as usize])),
            Places::Few(used, places) => {
                series.each(rows, |series| row(places[used.partition_point(|other| i64::from(*other) < series)]));
            }
        }
    }

    /// The series of `places` that have tag column `column`, ascending by place.
    pub fn with_tag(&self, column: usize, places: Range<u32>) -> &[PlaceRank] {
        let start = if column == 0 { 0 } else { self.tags.ends[column - 1] };
        let pairs = &self.tags.pairs[start..self.tags.ends[column]];
        let before = |place: u32| pairs.partition_point(|pair| pair.place < place);
        &pairs[before(places.start)..before(places.end)]
    }
}

impl ByColumn {
    /// A counting sort of the `codes` of all places by their column; `ends`: by place, where its codes end.
    fn new(codes: &[u64], ends: &[usize], columns: usize) -> Self {
        let mut next = vec![0; columns];
        codes.iter().for_each(|code| next[column_of(*code)] += 1);
        let mut start = 0;
        for next in &mut next {
            start += std::mem::replace(next, start);
        }
        let mut pairs = vec![PlaceRank::default(); codes.len()];
        let mut start = 0;
        for (place, end) in (0..).zip(ends) {
            for code in &codes[start..*end] {
                let next = &mut next[column_of(*code)];
                pairs[*next] = PlaceRank { place, rank: *code as u32 };
                *next += 1;
            }
            start = *end;
        }
        Self { pairs, ends: next }
    }
}

/// Which series of a part have rows in it. A day may hold few rows of a large set.
enum Used {
    All,
    Few(Vec<u32>),
}

impl Used {
    fn of(part: &DayPart) -> Self {
        if part.rows() >= part.keys.len() / 2 {
            return Self::All;
        }
        let mut used: Vec<u32> = part.series.iter().map(|series| series as u32).collect();
        used.sort_unstable();
        used.dedup();
        Self::Few(used)
    }

    fn each(&self, part: &DayPart, series: impl FnMut(usize)) {
        match self {
            Self::All => (0..part.keys.len()).for_each(series),
            Self::Few(used) => used.iter().map(|used| *used as usize).for_each(series),
        }
    }
}

/// The ranks of one part's values of one tag.
#[derive(Default)]
struct Ranks {
    /// The value indexes that are ranked, ascending; `None`: all.
    values: Option<Vec<u32>>,
    ranks: Vec<u32>,
}

impl Ranks {
    fn index(&self, value: u32) -> usize {
        self.values.as_ref().map_or(value as usize, |values| values.partition_point(|other| *other < value))
    }
}

/// By tag column: the dictionary, and by part the ranks.
fn rank_all(parts: &[Arc<DayPart>], used: &[Used], tags: &[usize]) -> Vec<(Dictionary, Vec<Ranks>)> {
    let mut wanted: Vec<Vec<Ranks>> = tags.iter().map(|_| Vec::with_capacity(parts.len())).collect();
    for (part, used) in parts.iter().zip(used) {
        let mut by_tag: Vec<Ranks> = tags.iter().map(|_| Ranks::default()).collect();
        match used {
            Used::All => {
                for (ranks, values) in by_tag.iter_mut().zip(&part.keys.values) {
                    ranks.ranks = vec![0; values.len()];
                }
            }
            Used::Few(series) => {
                let pairs = series.iter().flat_map(|series| part.keys.tags_of(*series as usize));
                for pair in pairs {
                    by_tag[pair.tag as usize].values.get_or_insert_default().push(pair.value);
                }
                for ranks in &mut by_tag {
                    let values = ranks.values.get_or_insert_default();
                    values.sort_unstable();
                    values.dedup();
                    ranks.ranks = vec![0; values.len()];
                }
            }
        }
        for (column, tag) in tags.iter().enumerate() {
            wanted[column].push(std::mem::take(&mut by_tag[*tag]));
        }
    }
    let ranked = tags.iter().zip(wanted).map(|(tag, mut ranks)| (rank(parts, *tag, &mut ranks), ranks));
    ranked.collect()
}

/// A value that waits for its rank: eight bytes of it, part, index in `Ranks`.
type Unranked = (u64, u32, u32);

/// Ranks the values of one tag over all parts.
fn rank(parts: &[Arc<DayPart>], tag: usize, ranks: &mut [Ranks]) -> Dictionary {
    let empty = Arc::default();
    let strings: Vec<&Strings> = parts.iter().map(|part| &**part.keys.values.get(tag).unwrap_or(&empty)).collect();
    let indexes: Vec<Option<Vec<u32>>> = ranks.iter_mut().map(|ranks| ranks.values.take()).collect();
    let value_of =
        |part: u32, at: u32| -> u32 { indexes[part as usize].as_ref().map_or(at, |values| values[at as usize]) };
    let text = |part: u32, at: u32| strings[part as usize].get(value_of(part, at) as usize);

    // Values often begin alike ("host_"): what they share tells nothing.
    let all = || (0..).zip(&*ranks).flat_map(|(part, ranks)| (0..ranks.ranks.len() as u32).map(move |at| (part, at)));
    let Some((part, at)) = all().next() else {
        return Dictionary { values: Vec::new(), tag };
    };
    let first = text(part, at);
    let common = all().fold(first.len(), |common, (part, at)| shared(&first[..common], text(part, at)));
    let mut unranked: Vec<Unranked> =
        all().map(|(part, at)| (eight_bytes(&text(part, at)[common..]), part, at)).collect();
    unranked.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| text(a.1, a.2).cmp(text(b.1, b.2))));

    let mut dictionary = Dictionary { values: Vec::with_capacity(unranked.len()), tag };
    let mut last: Option<Unranked> = None;
    for value in unranked {
        let same = last.is_some_and(|last| last.0 == value.0 && text(last.1, last.2) == text(value.1, value.2));
        if !same {
            dictionary.values.push((value.1, value_of(value.1, value.2)));
        }
        ranks[value.1 as usize].ranks[value.2 as usize] = dictionary.values.len() as u32;
        last = Some(value);
    }
    for (ranks, values) in ranks.iter_mut().zip(indexes) {
        ranks.values = values;
    }
    dictionary
}

/// How many bytes `a` and `b` begin with alike.
fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The first eight bytes as a number that compares like them; shorter strings are filled with zero bytes.
fn eight_bytes(string: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = string.len().min(8);
    bytes[..len].copy_from_slice(&string[..len]);
    u64::from_be_bytes(bytes)
}

/// `column` is present with the value of this rank. Columns ascending are codes descending: the series without a tag
/// comes first, so a code that is further to the right in the file must compare as smaller.
fn code(column: usize, rank: u32) -> u64 {
    u64::from(u32::MAX - column as u32) << 32 | u64::from(rank)
}

fn column_of(code: u64) -> usize {
    (u32::MAX - (code >> 32) as u32) as usize
}

/// The series of all parts as lists of codes, part after part; a list has its columns ascending.
#[derive(Default)]
struct Lists {
    codes: Vec<u64>,
    ends: Vec<usize>,
}

impl Lists {
    fn add(
        &mut self,
        index: usize,
        part: &DayPart,
        used: &Used,
        columns: &[usize],
        ranked: &[(Dictionary, Vec<Ranks>)],
    ) {
        used.each(part, |series| {
            let start = self.codes.len();
            for pair in part.keys.tags_of(series) {
                let column = columns[pair.tag as usize];
                let ranks = &ranked[column].1[index];
                let rank = ranks.ranks[ranks.index(pair.value)];
                self.codes.push(code(column, rank));
            }
            self.codes[start..].sort_unstable_by_key(|code| std::cmp::Reverse(code >> 32));
            self.ends.push(self.codes.len());
        });
    }

    fn list(&self, index: usize) -> &[u64] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.codes[start..self.ends[index]]
    }

    /// By list: its place; and the codes in order of places with their ends. `widths`: distinct values by tag column.
    fn order(self, widths: &[usize]) -> (Vec<u32>, Vec<u64>, Vec<usize>) {
        let shifts = key_shifts(widths);
        let key_of = |index| {
            let part =
                |code: &u64| shifts.get(column_of(*code)).map_or(0, |shift| (code & u64::from(u32::MAX)) << shift);
            self.list(index).iter().map(part).fold(0, |key, part| key | part)
        };
        let whole = shifts.len() == widths.len();
        let mut sorted: Vec<(u64, u32)> = (0..self.ends.len()).map(|index| (key_of(index), index as u32)).collect();
        if whole {
            sorted.sort_unstable();
        } else {
            sorted.sort_unstable_by(|a, b| {
                a.0.cmp(&b.0).then_with(|| self.list(a.1 as usize).cmp(self.list(b.1 as usize)))
            });
        }

        let mut places = vec![0; sorted.len()];
        let mut codes = Vec::with_capacity(self.codes.len());
        let mut ends = Vec::with_capacity(sorted.len());
        let mut last: Option<(u64, u32)> = None;
        for (key, index) in sorted {
            let list = self.list(index as usize);
            if last.is_none_or(|last| last.0 != key || self.list(last.1 as usize) != list) {
                codes.extend_from_slice(list);
                ends.push(codes.len());
            }
            places[index as usize] = ends.len() as u32 - 1;
            last = Some((key, index));
        }
        (places, codes, ends)
    }
}

/// How far the rank of a tag column is shifted in the 64-bit key, for as many leading columns as fit.
fn key_shifts(widths: &[usize]) -> Vec<u32> {
    let mut free = u64::BITS;
    let mut shifts = Vec::new();
    for width in widths {
        // Ranks are 1..=width, and 0 is for an absent tag.
        let bits = usize::BITS - width.leading_zeros();
        let Some(rest) = free.checked_sub(bits) else { break };
        free = rest;
        // A column without values has no rank to shift, wherever the shift points.
        shifts.push(free.min(u64::BITS - 1));
    }
    shifts
}
