//! Where the points of a body go.
//!
//! The order of calls per point: `expected_series`, and when it declines `known_series`, and when that declines too `new_series`; `row` with
//! the series that one of them gave; on the row `expected_fields`, and for each field that is not one of them `expected_field`, and when it declines `field`, then one value; at last `point`.

use super::scan::vector::Vector;
use super::split::Key;
use super::text::Rest;

/// Takes points, series by series.
pub trait Sink {
    /// A series that the sink has met.
    type Series: Copy;
    /// A point that is being written.
    type Row<'r>: Row
    where
        Self: 'r;

    /// A body begins; from now on names are numbered anew ([`Key::number`]).
    fn begin(&mut self) {}

    /// The series that the sink expects next and its key's length, if that key stands at `at` and a space follows it.
    fn expected_series<V: Vector>(&mut self, rest: Rest<'_>) -> Option<(Self::Series, usize)>;

    /// The series with this key as written, if the sink has met it, or knows all of its parts: then they have been judged, all but the key's length,
    /// which is judged with each field.
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
    /// The fields that the point should have, in this order, and where their values go, as [`ExpectedField`] says; both of one length. A sink
    /// that gives some is told at once by [`Row::expected_came`] how many came, before anything else.
    fn expected_fields(&mut self) -> Option<(&mut [ExpectedField], &mut [u64])> {
        None
    }

    /// The first `count` of the expected fields came, and their values are where they go. `more`: other fields follow.
    fn expected_came(&mut self, _count: usize, _more: bool) {}

    /// If `name=` of the field expected next stands at `at`: selects that field and returns the name's length (without the `=`).
    fn expected_field<V: Vector>(&mut self, rest: Rest<'_>) -> Option<usize>;

    /// Selects the field whose name as written stands at `at`.
    fn field<V: Vector>(&mut self, rest: Rest<'_>, name: FieldName<'_>);

    fn float(&mut self, value: f64);
    fn integer(&mut self, value: i64);
    fn unsigned(&mut self, value: u64);
    fn boolean(&mut self, value: bool);
    /// A string as written between its quotes; `escaped` if it holds a backslash.
    fn string(&mut self, raw: &[u8], escaped: bool);

    /// The point is complete; nothing else is asked of the row. (Not by value: moving what was just written costs more than all of this.)
    fn point(&mut self, time_ns: i64) -> End;
}

/// The type of a value that fits into 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// By its bits.
    Float,
    Integer,
    Unsigned,
    /// 0 or 1.
    Boolean,
}

/// A field that should come next, by its name as written.
#[derive(Clone, Debug)]
pub struct ExpectedField {
    /// `name=`, and zeros.
    pub(super) name: [u8; 32],
    pub(super) len: u32,
    pub(super) word: Word,
    pub(super) guess: Guess,
}

/// How many digits a field's next integer should have. Where the next field starts is known sooner by a good guess than by a look at the
/// value; a bad one costs more than none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guess {
    /// 1 to 16, or 0 for no guess.
    pub digits: u8,
    /// What the last bad guess should have been.
    pub instead: u8,
    /// Bad guesses since the last [`ExpectedField::review`].
    pub bad: u16,
    /// Reviews for which there will be no guess.
    pub pause: u16,
}

impl Guess {
    /// A value had `digits` (0 if it was no integer of 1 to 16 digits), and it was not guessed.
    #[inline(always)]
    pub fn learn(&mut self, digits: usize) {
        if self.pause == 0 {
            self.learn_unpaused(digits as u8);
        }
    }

    #[inline(never)]
    fn learn_unpaused(&mut self, digits: u8) {
        self.bad = self.bad.saturating_add(u16::from(self.digits != 0));
        if self.instead == digits {
            self.digits = digits;
        }
        self.instead = digits;
    }
}

impl ExpectedField {
    /// `None` if the name is too long.
    pub fn new(raw: &[u8], word: Word) -> Option<Self> {
        let mut name = [0; 32];
        name.get_mut(..raw.len())?.copy_from_slice(raw);
        *name.get_mut(raw.len())? = b'=';
        Some(Self { name, len: raw.len() as u32 + 1, word, guess: Guess::default() })
    }

    pub fn word(&self) -> Word {
        self.word
    }

    /// `rows` came since the last review: if the values' lengths vary too much, they will not be foreseen for a while.
    pub fn review(&mut self, rows: usize) {
        let guess = &mut self.guess;
        if guess.pause > 0 {
            guess.pause -= 1;
        } else if usize::from(guess.bad) * 16 > rows {
            (guess.digits, guess.pause) = (0, 32);
        }
        guess.bad = 0;
    }
}

/// A field's name.
#[derive(Clone, Copy, Debug)]
pub struct FieldName<'b> {
    /// As written, without the `=`.
    pub raw: &'b [u8],
    /// No byte of it is escaped.
    pub plain: bool,
    /// A quick hash of `raw`: of its first 16 bytes, its last 8, and its length. Whoever chooses names can choose them to collide.
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
