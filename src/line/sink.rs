//! Where the points of a body go.
//!
//! The order of calls per point: `expected_series`, and when it declines `known_series`, and when that declines too `new_series`; `row` with
//! the series that one of them gave; on the row for each field `expected_field`, and when it declines `field`, then one value; at last `point`.

use super::scan::vector::Vector;
use super::split::Key;
use super::text::Padded;

/// Takes points, series by series.
pub trait Sink {
    /// A series that the sink has met.
    type Series: Copy;
    /// A point that is being written.
    type Row<'r>: Row
    where
        Self: 'r;

    /// The series that the sink expects next and its key's length, if that key stands at `at` and a space follows it.
    fn expected_series<V: Vector>(&mut self, body: &Padded<'_>, at: usize) -> Option<(Self::Series, usize)>;

    /// The series with this key as written, if the sink has met it.
    fn known_series(&mut self, key: &[u8]) -> Option<Self::Series>;

    /// A series whose key was written as `raw`; the sink remembers it.
    fn new_series(&mut self, raw: &[u8], key: &Key<'_, '_>) -> Self::Series;

    /// Begins a point.
    fn row(&mut self, series: Self::Series) -> Self::Row<'_>;

    /// Takes back what the point bore that has just been [`End::Refused`].
    fn take_back(&mut self);
}

/// Takes the fields of one point.
pub trait Row {
    /// If `name=` of the field expected next stands at `at`: selects that field and returns the name's length (without the `=`).
    fn expected_field<V: Vector>(&mut self, body: &Padded<'_>, at: usize) -> Option<usize>;

    /// Selects the field whose name as written stands at `at`.
    fn field<V: Vector>(&mut self, body: &Padded<'_>, at: usize, name: FieldName<'_>);

    fn float(&mut self, value: f64);
    fn integer(&mut self, value: i64);
    fn unsigned(&mut self, value: u64);
    fn boolean(&mut self, value: bool);
    /// A string as written between its quotes; `escaped` if it holds a backslash.
    fn string(&mut self, raw: &[u8], escaped: bool);

    fn point(self, time_ns: i64) -> End;
}

/// A field's name.
#[derive(Clone, Copy, Debug)]
pub struct FieldName<'b> {
    /// As written, without the `=`.
    pub raw: &'b [u8],
    /// No byte of it is escaped.
    pub plain: bool,
    /// A quick hash of `raw`: of its first 8 bytes, its last 8, and its length. Whoever chooses names can choose them to collide.
    pub hash: u32,
}

/// What became of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Written,
    /// It is not written; [`Sink::take_back`] has to follow.
    Refused,
    /// The sink is out of memory and wants no more.
    Stop,
}
