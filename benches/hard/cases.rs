//! Bodies made to be hard, each at any size.

use ringest::catalog::COLUMNS_MAX;
use ringest::line::ErrorKind;

use super::Ends;

pub struct Case {
    pub name: &'static str,
    pub make: fn(Size) -> Input,
}

/// How large a case is made.
#[derive(Clone, Copy)]
pub struct Size {
    /// Bytes of the body.
    pub bytes: usize,
    /// Of what the case has a million of, at full size.
    pub count: usize,
    /// Columns of a table that may have them all: 60 000 at full size.
    pub columns: usize,
}

/// What a case sends, and how it has to end.
pub struct Input {
    /// Bodies that make the state of the shard; not measured.
    pub before: Vec<Vec<u8>>,
    /// That state is sealed, and nothing of it kept.
    pub is_sealed: bool,
    /// The bodies that are measured.
    pub bodies: Vec<Vec<u8>>,
    /// How each of them ends.
    pub ends: Ends,
}

fn input(body: Vec<u8>, ends: Ends) -> Input {
    Input { before: Vec::new(), is_sealed: false, bodies: vec![body], ends }
}

fn written(points: usize) -> Ends {
    Ends::Written { points: points as u64, dropped: 0 }
}

fn dropped(points: usize, dropped: usize) -> Ends {
    Ends::Written { points: points as u64, dropped: dropped as u64 }
}

fn bad(kind: ErrorKind) -> Ends {
    Ends::Bad { errors: 1, more: false, first: kind }
}

/// A hundred bad lines are listed, and there are more.
fn all_bad(kind: ErrorKind) -> Ends {
    Ends::Bad { errors: 100, more: true, first: kind }
}

/// `head`, then `repeated` as often as it fits, then `tail`.
fn around(head: &str, repeated: &str, bytes: usize, tail: &str) -> Vec<u8> {
    let times = bytes.saturating_sub(head.len() + tail.len()) / repeated.len();
    [head, &repeated.repeat(times), tail].concat().into_bytes()
}

/// `count` pieces, each made from its number.
fn numbered(count: usize, piece: impl Fn(usize) -> String) -> Vec<u8> {
    let mut body = Vec::new();
    (0..count).for_each(|number| body.extend_from_slice(piece(number).as_bytes()));
    body
}

/// Pieces made from their numbers until there are so many bytes, and how many they are.
fn fill(bytes: usize, piece: impl Fn(usize) -> String) -> (Vec<u8>, usize) {
    let mut body = Vec::new();
    let mut count = 0;
    while body.len() < bytes {
        body.extend_from_slice(piece(count).as_bytes());
        count += 1;
    }
    (body, count)
}

/// `count` times the same body.
fn again(body: &str, count: usize) -> Vec<Vec<u8>> {
    vec![body.as_bytes().to_vec(); count]
}

fn is_too_long(key_bytes: usize) -> bool {
    key_bytes > 65_535
}

/// Three digits that differ for 46 656 numbers, in an order that is not theirs.
fn scattered_name(number: usize) -> String {
    let digit = |place: u32| char::from_digit((number * 12_345 % 46_656 / 36_usize.pow(place) % 36) as u32, 36);
    (0..3).filter_map(digit).collect()
}

/// Lines with a key of so many bytes, each another one, which is too long.
fn long_keys(size: Size, key: usize, kind: ErrorKind) -> Input {
    let lines = size.bytes / key;
    let body = numbered(lines, |number| format!("{number:06}{} f=1i\n", "k".repeat(key - 6)));
    input(body, Ends::Bad { errors: lines.min(100), more: lines > 100, first: kind })
}

/// A body of one byte.
fn only(byte: &str, size: Size, ends: Ends) -> Input {
    input(byte.repeat(size.bytes).into_bytes(), ends)
}

/// Bodies of one line each, when many are sent.
const BODIES: usize = 2_000;

pub const CASES: &[Case] = &[
    // One line
    Case {
        name: "one line, 1 000 field names in turn",
        make: |size| {
            let (fields, _) = fill(size.bytes, |number| format!(",f{}=1i", number % 1_000));
            input([b"m f=1i", &fields[..]].concat(), written(1))
        },
    },
    Case {
        name: "one line, every field name new",
        make: |size| {
            let (fields, count) = fill(size.bytes, |number| format!(",f{number}=1i"));
            let refused = count + 1 > COLUMNS_MAX;
            input([b"m f=1i", &fields[..]].concat(), dropped(usize::from(!refused), usize::from(refused)))
        },
    },
    Case {
        name: "one line, one field again and again",
        make: |size| input(around("m f=1i", ",f=1i", size.bytes, ""), written(1)),
    },
    Case {
        name: "one string",
        make: |size| {
            let refused = size.bytes - 6 > 1 << 20;
            input(around("m f=\"", "x", size.bytes, "\""), dropped(usize::from(!refused), usize::from(refused)))
        },
    },
    Case {
        name: "strings of a megabyte",
        make: |size| {
            let line = format!("m f=\"{}\"\n", "x".repeat(1_000_000));
            let lines = size.bytes.div_ceil(line.len());
            input(line.repeat(lines).into_bytes(), written(lines))
        },
    },
    Case {
        name: "escapes in a string",
        make: |size| input(around("m f=\"", "\\\"", 6 + 2 * size.count, "\""), written(1)),
    },
    Case {
        name: "escapes in a key",
        make: |size| {
            let key = 1 + 2 * size.count;
            let ends = if is_too_long(key) { bad(ErrorKind::KeyTooLong(key)) } else { written(1) };
            input(around("m", "\\ ", key + 5, " f=1i"), ends)
        },
    },
    Case {
        name: "escapes in a field key",
        make: |size| {
            let key = 2 * size.count;
            let ends = if is_too_long(key + 5) { bad(ErrorKind::KeyTooLong(key + 5)) } else { written(1) };
            input(around("m ", "\\ ", key + 5, "=1i"), ends)
        },
    },
    Case {
        name: "escaped line ends",
        make: |size| {
            let body = around("m", "\\\n", size.bytes, "");
            let key = body.len();
            input(body, bad(ErrorKind::KeyTooLong(key)))
        },
    },
    Case {
        name: "commas in the key",
        make: |size| input(around("m", ",", size.count, ""), bad(ErrorKind::MissingTagKey)),
    },
    Case {
        name: "commas among the fields",
        make: |size| input(around("m f=1i", ",", size.count, ""), bad(ErrorKind::MissingFieldKey)),
    },
    Case { name: "commas in a string", make: |size| input(around("m f=\"", ",", size.count, "\""), written(1)) },
    Case {
        name: "spaces between key and field",
        make: |size| input(around("m ", " ", size.bytes, "f=1i"), written(1)),
    },
    Case { name: "spaces behind the time", make: |size| input(around("m f=1i 1", " ", size.bytes, ""), written(1)) },
    Case { name: "zeros before an integer", make: |size| input(around("m f=", "0", size.bytes, "1i"), written(1)) },
    Case { name: "zeros before the time", make: |size| input(around("m f=1i ", "0", size.bytes, "1"), written(1)) },
    Case { name: "digits behind the point", make: |size| input(around("m f=1.", "1", size.bytes, ""), written(1)) },
    Case {
        name: "digits before the point",
        make: |size| input(around("m f=1", "1", size.bytes, ".5"), bad(ErrorKind::FloatOutOfRange)),
    },
    Case {
        name: "digits of an integer",
        make: |size| input(around("m f=1", "1", size.bytes, "i"), bad(ErrorKind::IntegerOutOfRange)),
    },
    // Quotes that are not closed
    Case {
        name: "an unterminated quote",
        make: |size| input(around("m f=\"", "m f=1i 1\n", size.bytes, ""), bad(ErrorKind::UnbalancedQuotes)),
    },
    Case {
        name: "every string ends in the next line",
        make: |size| input(around("", "m f=1i,g=\"x\n", size.bytes, ""), all_bad(ErrorKind::TextAfterString)),
    },
    // Long keys: a key, a field's key and 4 may have 65 535 bytes together
    Case {
        name: "keys of 65 530 bytes, each another",
        make: |size| {
            let (body, lines) = fill(size.bytes, |number| format!("{number:065530} f=1i\n"));
            input(body, written(lines))
        },
    },
    Case {
        name: "keys of 65 530 bytes, one again and again",
        make: |size| {
            let (body, lines) = fill(size.bytes, |_| format!("{:065530} f=1i\n", 0));
            input(body, written(lines))
        },
    },
    Case { name: "keys of 65 535 bytes", make: |size| long_keys(size, 65_535, ErrorKind::KeyTooLong(65_540)) },
    Case { name: "keys of 65 536 bytes", make: |size| long_keys(size, 65_536, ErrorKind::KeyTooLong(65_536)) },
    Case {
        name: "keys of escapes alone, each another",
        make: |size| {
            let escapes = "\\ ".repeat(30_000);
            let (body, lines) = fill(size.bytes, |number| format!("{number}{escapes},t=\\= f=1i\n"));
            input(body, written(lines))
        },
    },
    // Tags of one point
    Case {
        name: "the last of 10 000 tags is there twice",
        make: |size| {
            let tags = numbered(size.columns / 6, |number| format!(",{}=a", scattered_name(number)));
            let line = format!("m{},{}=b f=1i\n", String::from_utf8_lossy(&tags), scattered_name(0));
            input(line.repeat(50).into_bytes(), Ends::Bad { errors: 50, more: false, first: ErrorKind::DuplicateTag })
        },
    },
    Case {
        name: "tags without end in one line, all of one name",
        make: |size| input(around("m", ",a=b", size.bytes, " f=1i"), bad(ErrorKind::DuplicateTag)),
    },
    Case {
        name: "tags without end in one line, each of another name",
        make: |size| {
            let (tags, _) = fill(size.bytes, |number| format!(",t{number}=b"));
            let key_bytes = 1 + tags.len();
            input([b"m", &tags[..], b" f=1i"].concat(), bad(ErrorKind::KeyTooLong(key_bytes)))
        },
    },
    Case {
        name: "10 000 tags in a mixed order",
        make: |size| {
            let line = |value: usize| {
                let tags = numbered(size.columns / 6, |number| format!(",{}={}", scattered_name(number), value % 10));
                format!("m{} f=1i\n", String::from_utf8_lossy(&tags))
            };
            input(numbered(50, line), written(50))
        },
    },
    // What is known by its first and last bytes at first sight
    Case {
        name: "field names of one beginning and one end, in turn",
        make: |size| {
            let field = |number| format!("begins_like_this{:08}and_ends=1i", number % 5_000);
            let (lines, count) =
                fill(size.bytes, |number| format!("m {},{}\n", field(2 * number), field(2 * number + 1)));
            input(lines, written(count))
        },
    },
    Case {
        name: "tag names of one beginning and one end, in turn",
        make: |size| {
            let (lines, count) =
                fill(size.bytes, |number| format!("m,begins_like_this{:08}and_ends=v{number} f=1i\n", number % 5_000));
            input(lines, written(count))
        },
    },
    Case {
        name: "tag values of one beginning and one end, in turn",
        make: |size| {
            let (lines, count) =
                fill(size.bytes, |number| format!("m,a=begins__{:08}and_ends,b=v{number} f=1i\n", number % 100));
            input(lines, written(count))
        },
    },
    Case {
        name: "series keys of one beginning and one end, in turn",
        make: |size| {
            let (lines, count) =
                fill(size.bytes, |number| format!("m,a=begins__{:08}and_ends f=1i\n", number * 7_919 % 50_000));
            input(lines, written(count))
        },
    },
    // Rows alike, but for
    Case {
        name: "every other row without a field",
        make: |size| {
            let (lines, count) = fill(size.bytes, |number| {
                let last = if number % 2 == 0 { ",d=4i" } else { "" };
                format!("m a=1i,b=2i,c=3i{last} {number}\n")
            });
            input(lines, written(count))
        },
    },
    Case {
        name: "five rows alike and one that is not",
        make: |size| {
            let (lines, count) = fill(size.bytes, |number| {
                if number % 6 == 5 {
                    format!("m b=1i,a=2i {number}\n")
                } else {
                    format!("m a=1i,b=2i,c=3i,d=4i {number}\n")
                }
            });
            input(lines, written(count))
        },
    },
    Case {
        name: "an integer with a digit more in every other row",
        make: |size| {
            let (lines, count) = fill(size.bytes, |number| {
                let value = if number % 2 == 0 { "1234567" } else { "12345678" };
                format!("m a={value}i,b={value}i,c={value}i {number}\n")
            });
            input(lines, written(count))
        },
    },
    // Names without end
    Case {
        name: "field names, as many as a table takes",
        make: |size| {
            input(numbered(size.columns, |number| format!("m f{number}=1i {number}\n")), written(size.columns))
        },
    },
    Case {
        name: "a million field names",
        make: |size| {
            let taken = size.count.min(COLUMNS_MAX);
            let body = numbered(size.count, |number| format!("m f{number}=1i {number}\n"));
            input(body, dropped(taken, size.count - taken))
        },
    },
    Case {
        name: "tag names, as many as a table takes",
        make: |size| {
            input(numbered(size.columns, |number| format!("m,t{number}=a f=1i {number}\n")), written(size.columns))
        },
    },
    Case {
        name: "a million tag names",
        make: |size| {
            let taken = size.count.min(COLUMNS_MAX - 1);
            let body = numbered(size.count, |number| format!("m,t{number}=a f=1i {number}\n"));
            input(body, dropped(taken, size.count - taken))
        },
    },
    Case {
        name: "a million tag values",
        make: |size| {
            input(numbered(size.count, |number| format!("m,t=v{number} f=1i {number}\n")), written(size.count))
        },
    },
    Case {
        name: "a million measurements",
        make: |size| input(numbered(size.count, |number| format!("m{number} f=1i {number}\n")), written(size.count)),
    },
    Case {
        name: "half of a million tables refused",
        make: |size| {
            let taken = size.count / 2;
            let field = |number| if number < taken { "f" } else { "time" };
            let body = numbered(size.count, |number| format!("m{number} {}=1i {number}\n", field(number)));
            input(body, dropped(taken, size.count - taken))
        },
    },
    // Points that are refused
    Case {
        name: "every other point of another type",
        make: |size| {
            let body = numbered(size.count, |number| format!("m f=1{} {number}\n", ["i", ".5"][number % 2]));
            input(body, dropped(size.count.div_ceil(2), size.count / 2))
        },
    },
    // Each point that is refused takes a tag value back, after which what tables know of each other's values is in doubt.
    Case {
        name: "series with the tags of others, every third refused",
        make: |size| {
            let count = size.count / 3;
            let point = |number: usize| {
                let host = number.wrapping_mul(0x9E37_79B1) % size.count;
                format!("a,host=h{number} f=1\nb,host=h{number},k=v f=1\nb,host=h{host},k=v{number} f=t\n")
            };
            let before = vec![b"a,host=h f=1\nb,host=h,k=v f=1\n".to_vec()];
            Input { before, is_sealed: false, bodies: vec![numbered(count, point)], ends: dropped(2 * count, count) }
        },
    },
    Case {
        name: "a new field in every refused point",
        make: |size| {
            let body = numbered(size.count, |number| format!("m g{number}=1i,f=1.5 {number}\n"));
            Input { before: again("m f=1i", 1), is_sealed: false, bodies: vec![body], ends: dropped(0, size.count) }
        },
    },
    Case {
        name: "refused points of a wide table that is not open",
        make: |size| {
            let columns = numbered(size.columns, |number| format!("m f{number}=1i {number}\n"));
            let (body, lines) = fill(size.bytes, |number| format!("m f0=1.5 {number}\n"));
            Input { before: vec![columns], is_sealed: true, bodies: vec![body], ends: dropped(0, lines) }
        },
    },
    Case {
        name: "a new tag in every refused point",
        make: |size| {
            let body = numbered(size.count, |number| format!("m,t{number}=a f=1.5 {number}\n"));
            Input { before: again("m f=1i", 1), is_sealed: false, bodies: vec![body], ends: dropped(0, size.count) }
        },
    },
    Case {
        name: "1 000 fields, the last of another type",
        make: |size| {
            let fields = String::from_utf8(numbered(1_000, |number| format!("f{number}=1i,"))).unwrap();
            let (body, lines) = fill(size.bytes, |_| format!("m {fields}g=1.5\n"));
            Input { before: again("m g=1i", 1), is_sealed: false, bodies: vec![body], ends: dropped(0, lines) }
        },
    },
    // Bad lines
    Case {
        name: "bad lines alone",
        make: |size| input(around("", "m f=\n", size.bytes, ""), all_bad(ErrorKind::MissingFieldValue)),
    },
    Case {
        name: "99 bad lines among good ones",
        make: |size| {
            let good = "m f=1i 1\n".repeat(size.bytes / 99 / 9);
            let body = format!("m f=\n{good}").repeat(99);
            let ends = Ends::Bad { errors: 99, more: false, first: ErrorKind::MissingFieldValue };
            input(body.into_bytes(), ends)
        },
    },
    Case {
        name: "the last line is bad",
        make: |size| input(around("", "m,t=a f=1i 1\n", size.bytes, "m f="), bad(ErrorKind::MissingFieldValue)),
    },
    Case {
        name: "the last line is not UTF-8",
        make: |size| {
            let mut body = around("", "m,t=a f=1i 1\n", size.bytes, "m f=\"");
            body.extend_from_slice(b"\xff\"");
            input(body, bad(ErrorKind::InvalidUtf8))
        },
    },
    Case {
        name: "no line is UTF-8",
        make: |size| input(b"m f=\"\xff\"\n".repeat(size.bytes / 9), all_bad(ErrorKind::InvalidUtf8)),
    },
    // One byte again and again
    Case { name: "LF alone", make: |size| only("\n", size, written(0)) },
    Case { name: "CR LF alone", make: |size| input(around("", "\r\n", size.bytes, ""), written(0)) },
    Case { name: "spaces alone", make: |size| only(" ", size, written(0)) },
    Case { name: "tabs alone", make: |size| only("\t", size, written(0)) },
    Case { name: "# alone", make: |size| only("#", size, written(0)) },
    Case { name: "comments alone", make: |size| input(around("", "#\n", size.bytes, ""), written(0)) },
    Case { name: "backslashes alone", make: |size| only("\\", size, bad(ErrorKind::KeyTooLong(size.bytes))) },
    Case { name: "quotes alone", make: |size| only("\"", size, bad(ErrorKind::KeyTooLong(size.bytes))) },
    Case {
        name: "quotes as a field",
        make: |size| input(around("m f=", "\"", size.bytes, ""), bad(ErrorKind::TextAfterString)),
    },
    Case { name: "equals signs alone", make: |size| only("=", size, bad(ErrorKind::KeyTooLong(size.bytes))) },
    Case { name: "commas alone", make: |size| only(",", size, bad(ErrorKind::MissingMeasurement)) },
    Case { name: "CR alone", make: |size| only("\r", size, bad(ErrorKind::KeyTooLong(size.bytes - 1))) },
    Case { name: "NUL alone", make: |size| only("\0", size, bad(ErrorKind::KeyTooLong(size.bytes))) },
    // Many bodies
    Case {
        name: "short bodies for a table of 60 000 columns",
        make: |size| {
            let columns = numbered(size.columns, |number| format!("m f{number}=1i {number}\n"));
            Input { before: vec![columns], is_sealed: false, bodies: again("m f0=1i 1", BODIES), ends: written(1) }
        },
    },
    Case {
        name: "short bad bodies for a table of 60 000 columns",
        make: |size| {
            let columns = numbered(size.columns, |number| format!("m f{number}=1i {number}\n"));
            let bodies = again("m f0=1i 1\nm f0=", BODIES);
            Input { before: vec![columns], is_sealed: false, bodies, ends: bad(ErrorKind::MissingFieldValue) }
        },
    },
    Case {
        name: "short bodies beside a million tables",
        make: |size| {
            let tables = numbered(size.count, |number| format!("m{number} f=1i {number}\n"));
            Input { before: vec![tables], is_sealed: false, bodies: again("m1 f=1i 1", BODIES), ends: written(1) }
        },
    },
    Case {
        name: "a new series in each short body",
        make: |size| {
            let line = |number| format!("m,t=v{number} f=1i 1").into_bytes();
            Input {
                before: Vec::new(),
                is_sealed: false,
                bodies: (0..size.count / 4).map(line).collect(),
                ends: written(1),
            }
        },
    },
    Case {
        name: "a new column in each short body",
        make: |size| {
            let line = |number| format!("m f{number}=1i 1").into_bytes();
            Input {
                before: Vec::new(),
                is_sealed: false,
                bodies: (0..size.columns / 4).map(line).collect(),
                ends: written(1),
            }
        },
    },
    Case {
        name: "a new table in each short body",
        make: |size| {
            let line = |number| format!("m{number} f=1i 1").into_bytes();
            Input {
                before: Vec::new(),
                is_sealed: false,
                bodies: (0..size.columns / 4).map(line).collect(),
                ends: written(1),
            }
        },
    },
];
