//! The fields of a point, as the parser brings them.

use std::borrow::Cow;

use foldhash::quality::RandomState;

use super::{COLUMN_BIRTH_BYTES, NEVER, Paid, Request, Undo};
use crate::catalog::FieldType;
use crate::line::grammar::STRING_BYTES_MAX;
use crate::line::{End, ExpectedField, FIELD_KEY_ESCAPES, FieldName, Rest, Row, STRING_ESCAPES, Vector, unescape};
use crate::table::NONE;
use crate::table::cache::SeriesAt;
use crate::table::column::Value;
use crate::table::open::{FieldSlot, OpenTable};
use crate::table::reject::{Listed, SchemaReject};

/// Targets that are no field of the table: the field `time`, which no point may have, and a field that no one has met (its name is in
/// `Request::new_field`).
const TIME: u32 = u32::MAX - 1;
const NEW_FIELD: u32 = u32::MAX - 2;

/// A point on its way into a table.
pub struct TableRow<'r, 'a> {
    table: &'r mut OpenTable,
    request: &'r mut Request<'a>,
    hasher: &'r RandomState,
    at: SeriesAt,
    row: u32,
    /// Row of the request's first point in this table.
    first_row: u32,
    /// What the value to come is for: a field, or one of the above. Before the first value, `NONE`.
    target: u32,
    /// The field expected now.
    expected: u32,
    /// It lies on the stage.
    staged: bool,
    /// The order of its fields is watched.
    watched: bool,
    /// A field came out of order.
    surprised: bool,
    /// Each field came where the last line had it.
    in_order: bool,
    /// The field before, where `target` is none.
    before: u32,
    /// The field written last in this row, head of the list through `FieldSlot::previous`.
    written: u32,
    time_field: bool,
}

impl Row for TableRow<'_, '_> {
    #[inline(always)]
    fn expected_fields(&mut self) -> Option<(&mut [ExpectedField], &mut [u64])> {
        self.table.stage.expected()
    }

    #[inline(always)]
    fn expected_came(&mut self, count: usize, more: bool) {
        if count == self.table.stage.len() && !more {
            self.staged = true;
        } else {
            self.leave_stage(count);
        }
    }

    #[inline(always)]
    fn expected_field<V: Vector>(&mut self, rest: Rest<'_>) -> Option<usize> {
        let field = self.table.fields.get(self.expected as usize)?;
        if field.pattern.stands_at::<V>(rest) {
            self.target = self.expected;
            self.expected = field.next;
            return Some(field.pattern.len() - 1);
        }
        self.in_order = false;
        // One field may be missing from the line.
        let skipped = field.next;
        let field = self.table.fields.get(skipped as usize)?;
        if field.pattern.stands_at::<V>(rest) {
            self.target = skipped;
            self.expected = field.next;
            return Some(field.pattern.len() - 1);
        }
        None
    }

    #[inline(always)]
    fn field<V: Vector>(&mut self, rest: Rest<'_>, name: FieldName<'_>) {
        self.in_order = false;
        if let Some(slot) = self.recent::<V, 0>(rest, name.hash) {
            self.follow(slot);
        } else if let Some(slot) = self.recent::<V, 1>(rest, name.hash) {
            self.follow(slot);
        } else {
            self.rare_field(name);
        }
    }

    #[inline(always)]
    fn float(&mut self, value: f64) {
        self.value(value);
    }

    #[inline(always)]
    fn integer(&mut self, value: i64) {
        self.value(value);
    }

    #[inline(always)]
    fn unsigned(&mut self, value: u64) {
        self.value(value);
    }

    #[inline(always)]
    fn boolean(&mut self, value: bool) {
        self.value(value);
    }

    #[inline(always)]
    fn string(&mut self, raw: &[u8], escaped: bool) {
        let mut buffer = std::mem::take(&mut self.request.unescaped);
        let string = if escaped { unescape_into(raw, &mut buffer) } else { raw };
        if string.len() > STRING_BYTES_MAX && self.target != TIME && self.request.judges {
            self.too_long(string.len());
        } else {
            self.value(string);
        }
        self.request.unescaped = buffer;
    }

    #[inline(always)]
    fn point(&mut self, time_ns: i64) -> End {
        let request = &mut *self.request;
        let expired = request.rules.time_ns_min.is_some_and(|min| time_ns < min);
        let ordinal = request.points + request.rejects.dropped;
        if ordinal >= request.passed_over.start
            || expired
            || request.reject.is_some()
            || self.written == NONE && !self.staged
        {
            return self.refuse(ordinal, time_ns, expired);
        }
        self.table.time.push(time_ns);
        self.table.row_series.push(i64::from(self.at.series));
        request.points += 1;
        request.row_undo = request.undo.len();
        request.paid_by_row = Paid::default();
        if self.staged {
            if self.table.stage.complete_row() {
                self.table.deal();
            }
        } else if self.table.stage.count(self.in_order) {
            expect_alike(self.table, self.written);
        }
        if self.time_field {
            self.leave_time_out(ordinal, time_ns);
        }
        if self.request.starved { End::Stop } else { End::Written }
    }
}

impl<'r, 'a> TableRow<'r, 'a> {
    #[inline(always)]
    pub(super) fn new(
        table: &'r mut OpenTable,
        request: &'r mut Request<'a>,
        hasher: &'r RandomState,
        at: SeriesAt,
        row: u32,
    ) -> Self {
        let first_row = table.mark;
        let expected = table.surprises.expect(table.first_field);
        let watched = table.surprises.watches(row);
        Self {
            table,
            request,
            hasher,
            at,
            row,
            first_row,
            target: NONE,
            expected,
            staged: false,
            watched,
            surprised: false,
            in_order: true,
            before: NONE,
            written: NONE,
            time_field: false,
        }
    }

    /// The field that stands at a place of `hash`, if its name stands at `at`.
    #[inline(always)]
    fn recent<V: Vector, const PLACE: usize>(&self, rest: Rest<'_>, hash: u32) -> Option<u32> {
        let slot = self.table.recent.get::<PLACE>(hash)?;
        let field = self.table.fields.get(slot as usize)?;
        if field.pattern.stands_at::<V>(rest) { Some(slot) } else { None }
    }

    #[inline(always)]
    fn value<T: Value>(&mut self, value: T) {
        let Some(field) = self.table.fields.get_mut(self.target as usize) else {
            return self.odd_value(value);
        };
        let is_first = field.column.rows() <= self.first_row;
        if !field.column.push_next(self.row, value) && !field.column.push_sparse(self.row, value) {
            return self.odd_value(value);
        }
        field.previous = self.written;
        self.written = self.target;
        if is_first {
            self.table.touched.push(self.target);
        }
    }

    /// The row is not what the stage expects: the rows there are dealt, and the values that have come of this one, `count`, are given to their
    /// columns.
    #[cold]
    #[inline(never)]
    fn leave_stage(&mut self, count: usize) {
        let table = &mut *self.table;
        self.staged = false;
        self.in_order = false;
        let in_vain = table.stage.rows() == 0;
        table.deal();
        for step in 0..count {
            let (slot, word) = table.stage.value(step);
            let field = &mut table.fields[slot as usize];
            if field.column.rows() <= self.first_row {
                table.touched.push(slot);
            }
            field.column.push_rows(self.row, [word].into_iter());
            field.previous = std::mem::replace(&mut self.written, slot);
            self.target = slot;
        }
        let next = table.fields.get(self.target as usize).map_or(table.first_field, |field| field.next);
        self.expected = table.surprises.expect(next);
        // Twice in a row: nothing is expected any more.
        if in_vain {
            table.stage.end();
        }
    }

    /// A value behind the first gap, of a new field, of another type, and one for a field that has a value in this row.
    #[inline(never)]
    fn odd_value<T: Value>(&mut self, value: T) {
        self.in_order = false;
        match self.target {
            TIME => return,
            NEW_FIELD if self.request.starved => return,
            NEW_FIELD if self.request.judges && self.table.is_full() => return self.no_room(),
            NEW_FIELD => self.bear_field(T::KIND),
            _ => {}
        }
        if self.table.fields[self.target as usize].kind != T::KIND {
            return self.conflict(T::KIND);
        }
        let field = &mut self.table.fields[self.target as usize];
        if field.column.has(self.row) {
            // A field written twice in a point: the later value takes the place of the earlier.
            field.column.truncate(self.row);
        } else {
            field.previous = self.written;
            self.written = self.target;
        }
        if field.column.rows() <= self.first_row {
            self.table.touched.push(self.target);
        }
        field.column.push(self.row, value);
    }

    /// A field that has not been looked up of late, is spelled otherwise than expected, is new, or is named `time`.
    #[cold]
    #[inline(never)]
    fn rare_field(&mut self, written: FieldName<'_>) {
        let name = if written.plain { Cow::Borrowed(written.raw) } else { unescape(written.raw, FIELD_KEY_ESCAPES) };
        if *name == *b"time" {
            self.time_field = true;
            self.set_odd_target(TIME);
        } else if let Some(slot) = self.table.find_field(&name, self.hasher) {
            let field = &mut self.table.fields[slot as usize];
            field.pattern.expect(written.raw);
            field.hash = written.hash;
            let OpenTable { fields, recent, .. } = &mut *self.table;
            recent.set(written.hash, slot, |slot| fields.get(slot as usize).map(|field| field.hash));
            self.follow(slot);
        } else {
            self.request.new_field.clear();
            self.request.new_field.extend_from_slice(&name);
            self.request.new_field_written.clear();
            self.request.new_field_written.extend_from_slice(written.raw);
            self.set_odd_target(NEW_FIELD);
        }
    }

    fn set_odd_target(&mut self, target: u32) {
        self.before = self.field_before();
        self.target = target;
    }

    /// The field before the one that is to be selected.
    #[inline(always)]
    fn field_before(&self) -> u32 {
        if matches!(self.target, TIME | NEW_FIELD) { self.before } else { self.target }
    }

    /// Selects field `slot`, and remembers that it came after the field before.
    #[inline(always)]
    fn follow(&mut self, slot: u32) {
        if !self.watched {
            self.target = slot;
            return;
        }
        let before = self.field_before();
        let table = &mut *self.table;
        let next = table.fields.get_mut(before as usize).map_or(&mut table.first_field, |before| &mut before.next);
        let surprise = std::mem::replace(next, slot) != slot;
        // One in a line is no reason to expect nothing any more.
        if !surprise || std::mem::replace(&mut self.surprised, true) {
            table.surprises.count(surprise);
        }
        self.target = slot;
        self.expected = table.surprises.expect(table.fields[slot as usize].next);
    }

    fn bear_field(&mut self, kind: FieldType) {
        let name = String::from_utf8_lossy(&self.request.new_field).into_owned();
        self.request.undo.push(Undo::Field { table: self.at.table });
        let mut field = FieldSlot::new(&name, NONE, kind);
        field.pattern.expect(&self.request.new_field_written);
        let slot = self.table.add_field(field, self.hasher);
        self.request.pay_name(COLUMN_BIRTH_BYTES, &self.table.name, &name);
        self.follow(slot);
    }

    fn conflict(&mut self, given: FieldType) {
        let field = &self.table.fields[self.target as usize];
        self.request.reject.get_or_insert(SchemaReject::Conflict {
            measurement: self.table.name.clone(),
            field: field.name.clone(),
            given: given.name(),
            known: field.kind.name(),
        });
    }

    fn no_room(&mut self) {
        let measurement = self.table.name.clone();
        let column = String::from_utf8_lossy(&self.request.new_field).into();
        self.request.reject.get_or_insert(SchemaReject::TooManyColumns { measurement, column });
    }

    #[cold]
    fn too_long(&mut self, bytes: usize) {
        let field = match self.table.fields.get(self.target as usize) {
            Some(field) => field.name.clone(),
            None => String::from_utf8_lossy(&self.request.new_field).into(),
        };
        let measurement = self.table.name.clone();
        self.request.reject.get_or_insert(SchemaReject::TooLong { measurement, field, bytes });
    }

    /// Drops the point: an earlier verdict has dropped it, or there is a reason, which is remembered.
    #[cold]
    #[inline(never)]
    fn refuse(&mut self, ordinal: u64, time_ns: i64, expired: bool) -> End {
        if self.staged {
            self.leave_stage(self.table.stage.len());
        }
        self.undo();
        self.request.rejects.dropped += 1;
        let reject = self.request.reject.take();
        if ordinal >= self.request.passed_over.start {
            self.request.pass_over(ordinal);
        } else {
            self.request.dropped.push(ordinal);
            let reason = match expired {
                true => None,
                false => Some(reject.unwrap_or_else(|| self.time_reject())),
            };
            let Request { rejects, listed_max, .. } = &mut *self.request;
            rejects.drop_point(Listed { ordinal, time_ns, reason }, *listed_max);
        }
        if self.request.starved { End::Stop } else { End::Refused }
    }

    /// The point is written without its field `time`.
    #[cold]
    #[inline(never)]
    fn leave_time_out(&mut self, ordinal: u64, time_ns: i64) {
        let reason = Some(self.time_reject());
        let Request { rejects, listed_max, .. } = &mut *self.request;
        rejects.leave_out(Listed { ordinal, time_ns, reason }, *listed_max);
    }

    fn time_reject(&self) -> SchemaReject {
        SchemaReject::TimeField { measurement: self.table.name.clone() }
    }

    /// Takes the values of the point back.
    fn undo(&mut self) {
        // The list may lead through a field twice (a name written twice in a point); what was undone is not there any more.
        while let Some(field) = self.table.fields.get_mut(self.written as usize) {
            if !field.column.has(self.row) {
                break;
            }
            field.column.truncate(self.row);
            self.written = field.previous;
        }
    }
}

/// The next rows are expected to have the fields of this one, the last of which is `written`, in its order.
#[cold]
#[inline(never)]
fn expect_alike(table: &mut OpenTable, written: u32) {
    let mut slots = Vec::new();
    let mut slot = written;
    while let Some(field) = table.fields.get(slot as usize) {
        slots.push(slot);
        slot = field.previous;
    }
    slots.reverse();
    table.stage.begin(&slots, &table.fields);
}

impl Request<'_> {
    /// Goes on to the next point of the verdict.
    fn pass_over(&mut self, ordinal: u64) {
        if ordinal + 1 == self.passed_over.end {
            self.next_verdict += 1;
            self.passed_over = self.verdict.runs().get(self.next_verdict).cloned().unwrap_or(NEVER);
        }
    }
}

/// Unescapes a string into `buffer`, which is used again.
fn unescape_into<'a>(raw: &[u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
    buffer.clear();
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let next = rest.get(at + 1).copied();
        let escape = next.is_some_and(|next| STRING_ESCAPES.contains(&next));
        buffer.extend_from_slice(&rest[..at]);
        buffer.push(if escape { rest[at + 1] } else { b'\\' });
        rest = &rest[at + 1 + usize::from(escape)..];
    }
    buffer.extend_from_slice(rest);
    buffer
}
