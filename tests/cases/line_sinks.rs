//! What the parser asks of a sink, and what it does with one that is wrong.

use ringest::line::{self, End, FieldName, Kernel, Key, Options, Outcome, Precision, Rest, Row, Sink, Vector, parse};

/// Says that what it expects has come, with lengths of its own.
struct Liar {
    key_bytes: Option<usize>,
    name_bytes: Option<usize>,
    points: usize,
}

impl Sink for Liar {
    type Series = ();
    type Row<'r> = LiarsRow<'r>;

    fn expected_series<V: Vector>(&mut self, _: Rest<'_>) -> Option<((), usize)> {
        Some(((), self.key_bytes?))
    }

    fn known_series(&mut self, _: &[u8]) -> Option<()> {
        None
    }

    fn new_series(&mut self, _: &[u8], _: &Key<'_, '_>) {}

    fn row(&mut self, (): ()) -> LiarsRow<'_> {
        LiarsRow(self)
    }

    fn take_back(&mut self) {}
}

struct LiarsRow<'r>(&'r mut Liar);

impl Row for LiarsRow<'_> {
    fn expected_field<V: Vector>(&mut self, _: Rest<'_>) -> Option<usize> {
        self.0.name_bytes
    }

    fn field<V: Vector>(&mut self, _: Rest<'_>, _: FieldName<'_>) {}
    fn float(&mut self, _: f64) {}
    fn integer(&mut self, _: i64) {}
    fn unsigned(&mut self, _: u64) {}
    fn boolean(&mut self, _: bool) {}
    fn string(&mut self, _: &[u8], _: bool) {}

    fn point(&mut self, _: i64) -> End {
        self.0.points += 1;
        End::Written
    }
}

/// What comes of a body whose sink says so, or the parser's complaint.
fn parse_with(
    body: &[u8],
    key_bytes: Option<usize>,
    name_bytes: Option<usize>,
    kernel: Kernel,
) -> Result<usize, String> {
    let options = Options { kernel, precision: Precision::Nanosecond, default_time_ns: 0 };
    std::panic::catch_unwind(|| {
        let mut sink = Liar { key_bytes, name_bytes, points: 0 };
        match parse(line::Padded::from_vec(&mut body.to_vec()), options, &mut sink) {
            Outcome::Complete { .. } => sink.points,
            _ => 0,
        }
    })
    .map_err(|panic| panic.downcast_ref::<&str>().copied().unwrap_or_default().to_owned())
}

/// The lengths are taken at their word where they lie within the body, and lead nowhere else.
#[test]
fn a_sink_with_wrong_lengths_leads_the_parser_out_of_no_body() {
    let body = b"measurement,tag=a field=1i 1\nm f=2i 2\n";
    for kernel in Kernel::available() {
        assert_eq!(parse_with(body, None, None, kernel), Ok(2));
        for bytes in (0..body.len() + 80).chain([usize::MAX / 2, usize::MAX - 1, usize::MAX]) {
            for (key_bytes, name_bytes) in [(Some(bytes), None), (None, Some(bytes)), (Some(bytes), Some(bytes))] {
                match parse_with(body, key_bytes, name_bytes, kernel) {
                    Ok(points) => assert!(points <= 2),
                    Err(complaint) => {
                        assert!(complaint.starts_with("a sink says that what it expects has come"), "{complaint}");
                    }
                }
                if bytes >= body.len() {
                    assert!(parse_with(body, key_bytes, name_bytes, kernel).is_err(), "{key_bytes:?} {name_bytes:?}");
                }
            }
        }
    }
}
