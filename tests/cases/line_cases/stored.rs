//! What is in the lake after several requests to one bucket: types, identity, unions, names.

/// Requests one after the other to one bucket, and what a reader finds once all their epochs are merged.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Begins with the number of the statement.
    pub name: &'static str,
    pub requests: &'static [Request],
    /// As [`super::render`] writes points, names as written, fields in ascending order; the rows in any.
    pub rows: &'static [&'static str],
    /// Columns that do not have their own name: its name in Parquet, and as written. Ascending.
    pub renamed: &'static [(&'static str, &'static str)],
}

/// One body (timestamps in nanoseconds) and what is answered.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub body: &'static [u8],
    pub said: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// 204: all points were taken.
    Taken,
    /// 422 for this reason.
    Partial(&'static str),
    /// 400 for the syntax of this line.
    Malformed(u64),
}

const fn case(name: &'static str, requests: &'static [Request], rows: &'static [&'static str]) -> Stored {
    Stored { name, requests, rows, renamed: &[] }
}

impl Stored {
    const fn renamed(self, renamed: &'static [(&'static str, &'static str)]) -> Self {
        Self { renamed, ..self }
    }
}

const fn taken(body: &'static [u8]) -> Request {
    Request { body, said: Said::Taken }
}

const fn partial(body: &'static [u8], reason: &'static str) -> Request {
    Request { body, said: Said::Partial(reason) }
}

const fn malformed(body: &'static [u8], line: u64) -> Request {
    Request { body, said: Said::Malformed(line) }
}

#[rustfmt::skip]
pub const STORED: &[Stored] = &[
    // ---- A4.8 tags: a field of the same name
    case("A4.8 tag and field of one name in one point", &[taken(b"m,a=x a=1 5")], &[r#"m[a=x] a=1.0 @5"#]).renamed(&[("a_field", "a")]),
    case("A4.8 tag and field of one name, the field in an earlier request", &[taken(b"m a=1 5"), taken(b"m,a=x a=2,b=3 6")], &["m a=1.0 @5", "m[a=x] a=2.0,b=3.0 @6"]).renamed(&[("a_tag", "a")]),
    case("A4.8 in one request the tag goes before", &[taken(b"m a=1 5\nm,a=x a=2,b=3 6")], &["m a=1.0 @5", "m[a=x] a=2.0,b=3.0 @6"]).renamed(&[("a_field", "a")]),
    // ---- A5.4 fields: a key twice
    case("A5.4 the last value of a field stands", &[taken(b"m f=1,f=2,g=\"a\",f=3,g=\"b\" 5")], &[r#"m f=3.0,g="b" @5"#]),
    case("A5.4 in two spellings it is one field", &[taken(b"m a\\\"b=1,a\"b=2 5")], &[r#"m "a\"b"=2.0 @5"#]),
    case(
        "A5.4 two types in one point are a conflict",
        &[partial(b"m f=1,f=2i 5\nm g=1 6", r#"field type conflict: input field "f" on measurement "m" is type integer, already exists as type float dropped=1"#), taken(b"m f=t 7")],
        &["m f=true @7", "m g=1.0 @6"],
    ),
    // ---- A5.5 fields: time
    case(
        "A5.5 time is taken out of a point with other fields",
        &[partial(b"m time=5i,f=1 5\nm f=2 6", r#"invalid field name: input field "time" on measurement "m" is invalid dropped=0"#)],
        &["m f=1.0 @5", "m f=2.0 @6"],
    ),
    case(
        "A5.5 a point of time alone is dropped",
        &[partial(b"m time=5i 5\nm f=2 6", r#"invalid field name: input field "time" on measurement "m" is invalid dropped=1"#)],
        &["m f=2.0 @6"],
    ),
    case(
        "A5.5 time never gets a type",
        &[partial(b"m time=5i,f=1 5\nm time=\"x\",f=2 6", r#"invalid field name: input field "time" on measurement "m" is invalid dropped=0"#)],
        &["m f=1.0 @5", "m f=2.0 @6"],
    ),
    // ---- A6.1 values: strings
    case("A6.1 bytes of strings come back as they were", &[taken(b"m f=\"a\nb\r\n\tc\0d # , = ' \x7f\" 5")], &[r#"m f="a\nb\r\n\tc\0d # , = ' \u{7f}" @5"#]),
    // ---- D.1 one type per field, for ever
    case(
        "D.1 float takes floats only",
        &[taken(b"m v=1 1"), partial(b"m v=1i 2\nm v=1u 3\nm v=t 4\nm v=\"1\" 5\nm v=2.5 6", r#"field type conflict: input field "v" on measurement "m" is type integer, already exists as type float dropped=4"#)],
        &["m v=1.0 @1", "m v=2.5 @6"],
    ),
    case(
        "D.1 integer takes integers only",
        &[taken(b"m v=1i 1"), partial(b"m v=1 2\nm v=1u 3\nm v=t 4\nm v=\"1\" 5\nm v=2i 6", r#"field type conflict: input field "v" on measurement "m" is type float, already exists as type integer dropped=4"#)],
        &["m v=1i @1", "m v=2i @6"],
    ),
    case(
        "D.1 unsigned takes unsigned only",
        &[taken(b"m v=1u 1"), partial(b"m v=1i 2\nm v=1 3\nm v=t 4\nm v=\"1\" 5\nm v=2u 6", r#"field type conflict: input field "v" on measurement "m" is type integer, already exists as type unsigned dropped=4"#)],
        &["m v=1u @1", "m v=2u @6"],
    ),
    case(
        "D.1 boolean takes booleans only",
        &[taken(b"m v=t 1"), partial(b"m v=\"t\" 2\nm v=1u 3\nm v=0 4\nm v=1i 5\nm v=f 6", r#"field type conflict: input field "v" on measurement "m" is type string, already exists as type boolean dropped=4"#)],
        &["m v=true @1", "m v=false @6"],
    ),
    case(
        "D.1 string takes strings only",
        &[taken(b"m v=\"1\" 1"), partial(b"m v=1i 2\nm v=1u 3\nm v=t 4\nm v=1 5\nm v=\"\" 6", r#"field type conflict: input field "v" on measurement "m" is type integer, already exists as type string dropped=4"#)],
        &[r#"m v="" @6"#, r#"m v="1" @1"#],
    ),
    case(
        "D.1 the type holds on other days and for other series",
        &[taken(b"m,t=a v=1i 1"), partial(b"m,t=b v=1 86400000000001\nm v=t -86400000000001\nm,u=c v=2i 86400000000001", r#"field type conflict: input field "v" on measurement "m" is type float, already exists as type integer dropped=2"#)],
        &["m[t=a] v=1i @1", "m[u=c] v=2i @86400000000001"],
    ),
    case(
        "D.1 the type holds from the first day to the last",
        &[taken(b"m v=t -9223372036854775806"), partial(b"m v=1 9223372036854775806", r#"field type conflict: input field "v" on measurement "m" is type float, already exists as type boolean dropped=1"#), taken(b"m v=f 9223372036854775806")],
        &["m v=true @-9223372036854775806", "m v=false @9223372036854775806"],
    ),
    case("D.1 the type is of one measurement and one field", &[taken(b"m v=1i,w=t 1\nn v=1,w=\"x\" 1\nM v=2u 1"), taken(b"m V=2 2")], &["M v=2u @1", "m V=2.0 @2", "m v=1i,w=true @1", r#"n v=1.0,w="x" @1"#]).renamed(&[("V_2", "V")]),
    // ---- D.2 a point that conflicts is dropped whole
    case(
        "D.2 the other points stay, the earlier line sets the type",
        &[partial(b"m a=1,b=2i 1\nm a=2i,c=3 2\nm c=\"x\",b=4i 3\nm b=5u 4\nm a=t 5\nm a=6 6", r#"field type conflict: input field "a" on measurement "m" is type integer, already exists as type float dropped=3"#)],
        &["m a=1.0,b=2i @1", "m a=6.0 @6", r#"m b=4i,c="x" @3"#],
    ),
    case(
        "D.2 the first reason is given, with all that were dropped",
        &[taken(b"m a=1,b=1 1"), partial(b"m b=t 2\nm a=t 3\nm time=1 4\nm a=\"x\",b=\"y\" 5", r#"field type conflict: input field "b" on measurement "m" is type boolean, already exists as type float dropped=4"#)],
        &["m a=1.0,b=1.0 @1"],
    ),
    case(
        "D.2 a conflict in the last of many fields",
        &[taken(b"m z=1i 1"), partial(b"m a=1,b=2,c=3,d=4,z=1 2\nm a=5 3", r#"field type conflict: input field "z" on measurement "m" is type float, already exists as type integer dropped=1"#)],
        &["m a=5.0 @3", "m z=1i @1"],
    ),
    // ---- D.3 a dropped point leaves nothing behind
    case(
        "D.3 its fields have no type yet",
        &[taken(b"m a=1 1"), partial(b"m,new=tag b=1i,a=2i 2", r#"field type conflict: input field "a" on measurement "m" is type integer, already exists as type float dropped=1"#), taken(b"m b=\"x\",new=5 3")],
        &["m a=1.0 @1", r#"m b="x",new=5.0 @3"#],
    ),
    case(
        "D.3 its measurement is not there",
        &[partial(b"m time=1 1\nn f=1 1", r#"invalid field name: input field "time" on measurement "m" is invalid dropped=1"#), taken(b"m f=1i 2")],
        &["m f=1i @2", "n f=1.0 @1"],
    ),
    // ---- D.4 a refused body leaves nothing behind
    case(
        "D.4 no row, no measurement, no tag, no field, no type",
        &[malformed(b"m,new=tag f=1i,other=t 1\nn f=1 1\nbad", 3), taken(b"m f=\"x\",new=2.5 2")],
        &[r#"m f="x",new=2.5 @2"#],
    ),
    case("D.4 what stood before stays as it was", &[taken(b"m f=1 1"), malformed(b"m f=2 1\nm g=1i 1\n,", 3), taken(b"m g=1 2")], &["m f=1.0 @1", "m g=1.0 @2"]),
    case("D.4 nothing but a refused body", &[malformed(b"m f=1 1\nm f=", 2)], &[]),
    // ---- D.5 tags have no types
    case("D.5 tag values of any looks are strings", &[taken(b"m,t=1i f=1 1\nm,t=true f=1 1\nm,t=1.5 f=1 1\nm,t=\"x\" f=1 1")], &[r#"m[t="\"x\""] f=1.0 @1"#, "m[t=1.5] f=1.0 @1", "m[t=1i] f=1.0 @1", "m[t=true] f=1.0 @1"]),
    case("D.5 a tag in one point, a field in another", &[taken(b"m,a=x f=1 1\nm a=2i 2"), taken(b"m,f=y a=3i 3")], &["m a=2i @2", "m[a=x] f=1.0 @1", "m[f=y] a=3i @3"]).renamed(&[("a_field", "a"), ("f_tag", "f")]),
    // ---- D.6 a point written again
    case("D.6 fields are united, the later value stands", &[taken(b"m,t=a f=1,g=1 5\nm,t=a g=2,h=2 5"), taken(b"m,t=a h=3,i=3 5")], &["m[t=a] f=1.0,g=2.0,h=3.0,i=3.0 @5"]),
    case("D.6 the order of tags does not matter", &[taken(b"m,a=1,b=2,c=3 f=1 5"), taken(b"m,c=3,a=1,b=2 g=2 5\nm,b=2,c=3,a=1 h=3 5")], &["m[a=1,b=2,c=3] f=1.0,g=2.0,h=3.0 @5"]),
    case("D.6 the spelling of tags does not matter", &[taken(b"m,a\\ b=c\\,d f=1 5"), taken(b"m,a\\ b=c\\,d f=2 5")], &[r#"m["a b"="c,d"] f=2.0 @5"#]),
    case("D.6 another measurement, tag set or time is another point", &[taken(b"m,a=1 f=1 5\nm f=2 5\nm,a=2 f=3 5\nm,b=1 f=4 5\nm,a=1,b=1 f=5 5\nm,a=1 f=6 6\nn,a=1 f=7 5")], &["m f=2.0 @5", "m[a=1,b=1] f=5.0 @5", "m[a=1] f=1.0 @5", "m[a=1] f=6.0 @6", "m[a=2] f=3.0 @5", "m[b=1] f=4.0 @5", "n[a=1] f=7.0 @5"]),
    case("D.6 one nanosecond makes another point", &[taken(b"m f=1 1000\nm f=2 1001\nm f=3 -1000\nm f=4 -1001\nm f=5 999")], &["m f=1.0 @1000", "m f=2.0 @1001", "m f=3.0 @-1000", "m f=4.0 @-1001", "m f=5.0 @999"]),
    case("D.6 the whole body again changes nothing", &[taken(b"m,a=1 f=1,g=\"x\" 5\nm h=2i 6\n"), taken(b"m,a=1 f=1,g=\"x\" 5\nm h=2i 6\n")], &["m h=2i @6", r#"m[a=1] f=1.0,g="x" @5"#]),
    case("D.6 each type is overwritten", &[taken(b"m a=1,b=1i,c=1u,d=t,e=\"x\" 5"), taken(b"m a=-0,b=-1i,c=0u,d=f,e=\"\" 5")], &[r#"m a=-0.0,b=-1i,c=0u,d=false,e="" @5"#]),
    case("D.6 many times in one body", &[taken(b"m f=1,a=1 5\nm f=2,b=2 5\nm f=3,c=3 5\nm f=4,d=4 5\nn f=0 5\nm f=5,a=5 5")], &["m a=5.0,b=2.0,c=3.0,d=4.0,f=5.0 @5", "n f=0.0 @5"]),
    // ---- D.7 null
    case("D.7 the empty string is a value, a missing field is none", &[taken(b"m s=\"\",f=1 1\nm f=2 2\nm s=\"x\" 3"), taken(b"m f=3 3\nm s=\"\" 2")], &[r#"m f=1.0,s="" @1"#, r#"m f=2.0,s="" @2"#, r#"m f=3.0,s="x" @3"#]),
    case("D.7 zero and false are values", &[taken(b"m f=0,i=0i,u=0u,b=f 1\nm x=1 2")], &["m b=false,f=0.0,i=0i,u=0u @1", "m x=1.0 @2"]),
    // ---- D.8 integers are exact
    case("D.8 beyond 2^53", &[taken(b"m i=9007199254740993i,u=9007199254740993u 1\nm i=-9007199254740993i,u=18446744073709551615u 2\nm i=9223372036854775807i,u=9223372036854775809u 3\nm i=-9223372036854775808i 4")], &["m i=-9007199254740993i,u=18446744073709551615u @2", "m i=-9223372036854775808i @4", "m i=9007199254740993i,u=9007199254740993u @1", "m i=9223372036854775807i,u=9223372036854775809u @3"]),
    // ---- D.9 what was acknowledged is stored
    case("D.9 after one request, and after the next", &[taken(b"m f=1 1"), taken(b"m f=2 2\n")], &["m f=1.0 @1", "m f=2.0 @2"]),
    // ---- D.10 names of columns
    case("D.10 names that differ in case", &[taken(b"m,host=a,Host=b HOST=1,f=1 1"), taken(b"m F=2,\xc3\x89=3,\xc3\xa9=4 2")], &[r#"m F=2.0,"É"=3.0,"é"=4.0 @2"#, "m[Host=b,host=a] HOST=1.0,f=1.0 @1"]).renamed(&[("F_2", "F"), ("HOST_3", "HOST"), ("Host_2", "Host"), ("é_2", "é")]),
    case("D.10 names that files and partitions use", &[taken(b"m,day=x hour=1i,time_ns_rem=2i,Time=3i 1")], &["m[day=x] Time=3i,hour=1i,time_ns_rem=2i @1"]).renamed(&[("Time_2", "Time"), ("day_2", "day"), ("hour_2", "hour"), ("time_ns_rem_2", "time_ns_rem")]),
];
