//! Tags and field keys.

use super::{Case, bad, both, ok};
use ringest::line::grammar::ErrorKind::*;

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    // ---- A4.1 tags: key, = and value
    bad("A4.1 tag missing behind comma", b"m, f=1", &[(1, MissingTagKey)]),
    bad("A4.1 tag missing at the end of the line", b"m,", &[(1, MissingTagKey)]),
    bad("A4.1 tag missing between commas", b"m,,t=v f=1", &[(1, MissingTagKey)]),
    bad("A4.1 tag missing behind a tag", b"m,t=v, f=1", &[(1, MissingTagKey)]),
    bad("A4.1 tag missing between tags", b"m,t=v,,u=w f=1", &[(1, MissingTagKey)]),
    bad("A4.1 tag key empty", b"m,=v f=1", &[(1, MissingTagKey)]),
    bad("A4.1 tag key and value empty", b"m,= f=1", &[(1, MissingTagKey)]),
    bad("A4.1 tag value empty", b"m,t= f=1", &[(1, MissingTagValue)]),
    bad("A4.1 tag value empty before a tag", b"m,t=,u=v f=1", &[(1, MissingTagValue)]),
    bad("A4.1 tag without =", b"m,t f=1", &[(1, MissingTagValue)]),
    bad("A4.1 tag without = before a tag", b"m,t,u=v f=1", &[(1, MissingTagValue)]),
    bad("A4.1 tag of an = and an escaped space", b"m,=\\ f=1", &[(1, MissingTagKey)]),
    bad("A4.1 tag value empty, last of several", b"m,a=1,b=2,c= f=1", &[(1, MissingTagValue)]),
    // ---- A4.2 tags: no = in a value
    bad("A4.2 tag value with =", b"m,t=a=b f=1", &[(1, InvalidTagFormat)]),
    bad("A4.2 tag value begins with =", b"m,t==b f=1", &[(1, InvalidTagFormat)]),
    bad("A4.2 tag value is =", b"m,t== f=1", &[(1, InvalidTagFormat)]),
    bad("A4.2 tag value ends with =", b"m,t=a= f=1", &[(1, InvalidTagFormat)]),
    bad("A4.2 tag value with escaped and plain =", b"m,t=a\\=b=c f=1", &[(1, InvalidTagFormat)]),
    // ---- A4.3 tags: quotes are data
    bad("A4.3 quotes do not join a tag value", b"m,t=\"a b\" f=1", &[(1, InvalidFieldFormat)]),
    bad("A4.3 quotes do not hide a comma", b"m,t=\"a,b\" f=1", &[(1, MissingTagValue)]),
    ok("A4.3 quotes around key and value stay", b"m,\"t\"=\"v\" f=1", &[r#"m["\"t\""="\"v\""] f=1.0"#]),
    ok("A4.3 one quote, single quotes", b"m,t=\",u='v' f=1", &[r#"m[t="\"",u='v'] f=1.0"#]),
    // ---- A4.4 tags: no key twice
    bad("A4.4 duplicate tag", b"m,t=a,t=b f=1", &[(1, DuplicateTag)]),
    bad("A4.4 duplicate tag of one value", b"m,t=a,t=a f=1", &[(1, DuplicateTag)]),
    bad("A4.4 duplicate tag, not adjacent", b"m,t=a,u=b,v=c,t=d f=1", &[(1, DuplicateTag)]),
    bad("A4.4 duplicate tag, escaped", b"m,t\\ =a,u=b,t\\ =c f=1", &[(1, DuplicateTag)]),
    bad("A4.4 duplicate tag among many", b"m,a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1,j=1,k=1,l=1,m=1,n=1,o=1,p=1,q=1,a=1 f=1", &[(1, DuplicateTag)]),
    ok("A4.4 keys that differ in case or by a prefix", b"m,t=a,T=b,tt=c f=1", &["m[T=b,t=a,tt=c] f=1.0"]),
    // ---- A4.5 tags: reserved keys
    ok("A4.5 tag keys that are nearly reserved", b"m,Time=1,_time=2,_fields=3,_value=4,times=5 f=1", &["m[Time=1,_fields=3,_time=2,_value=4,times=5] f=1.0"]),
    ok("A4.5 tag key that only looks reserved", b"m,\\time=1 f=1", &[r#"m["\\time"=1] f=1.0"#]),
    ok("A4.5 reserved names as tag values", b"m,t=time,u=_field f=1", &["m[t=time,u=_field] f=1.0"]),
    bad("A4.5 reserved tag: time", b"m,time=1 f=1", &[(1, ReservedTagKey("time"))]),
    bad("A4.5 reserved tag: _field", b"m,a=b,_field=1 f=1", &[(1, ReservedTagKey("_field"))]),
    bad("A4.5 reserved tag: _measurement", b"m,_measurement=1 f=1", &[(1, ReservedTagKey("_measurement"))]),
    bad("A4.5 reserved tag: NUL", b"m,\0=1 f=1", &[(1, ReservedTagKey("\0"))]),
    ok("A4.5 underscore names are free", b"m,_=1,_start=2,_stop=3,__field=4 f=1", &["m[_=1,__field=4,_start=2,_stop=3] f=1.0"]),
    ok("A4.5 NUL inside of a key is data", b"m,\0\0=1,a\0=2 f=1", &[r#"m["\0\0"=1,"a\0"=2] f=1.0"#]),
    bad("A4.5 the byte 0xFF is not UTF-8", b"m,\xff=1 f=1", &[(1, InvalidUtf8)]),
    // ---- A4.6 tags: order
    ok("A4.6 tags are sorted bytewise", b"m,b=1,B=2,\xc3\xa9=3,a=4,a.=5,ab=6 f=1", &[r#"m[B=2,a=4,a.=5,ab=6,b=1,"é"=3] f=1.0"#]),
    ok("A4.6 tags are sorted by their unescaped keys", b"m,a\\ =1,a!=2,a\\,=3,a=4 f=1", &[r#"m[a=4,"a "=1,"a!"=2,"a,"=3] f=1.0"#]),
    ok("A4.6 one series in two orders", b"m,a=1,b=2 f=1 1\nm,b=2,a=1 f=2 2", &["m[a=1,b=2] f=1.0 @1", "2|m[a=1,b=2] f=2.0 @2"]),
    // Keys with the names of earlier ones, which the parser foresees
    ok("A4.6 names that begin as foreseen ones do", b"m,a=1,ab=2 f=1\nm,ab=1,a=2 f=2\nm,a=1 f=3\nm,abc=1 f=4\nm,a=1,a.b=2 f=5\nmm,a=1 f=6\nm f=7", &[
        "m[a=1,ab=2] f=1.0", "2|m[a=2,ab=1] f=2.0", "3|m[a=1] f=3.0", "4|m[abc=1] f=4.0", "5|m[a=1,a.b=2] f=5.0", "6|mm[a=1] f=6.0", "7|m f=7.0",
    ]),
    ok("A4.6 a measurement that begins as a foreseen key does", b"m,a=1 f=1\nmxa=1 f=2\nm=a=1 f=3", &["m[a=1] f=1.0", r#"2|"mxa=1" f=2.0"#, r#"3|"m=a=1" f=3.0"#]),
    both("A4.6 a tag without a value that begins as a foreseen one", b"m,a=1 f=1\nm,abc f=2\nm,abc,b=1 f=3", &["m[a=1] f=1.0"], &[(2, MissingTagValue), (3, MissingTagValue)]),
    both("A4.6 names as foreseen, values and tags missing or twice", b"m,a=1,b=2 f=1\nm,a=,b=2 f=1\nm,a=1,b= f=1\nm,a=1,b f=1\nm,a=1=2,b=2 f=1\nm,a=1,b=2,a=3 f=1\nm,a=1,time=2 f=1\nm,a=3,b=4", &["m[a=1,b=2] f=1.0"], &[
        (2, MissingTagValue), (3, MissingTagValue), (4, MissingTagValue), (5, InvalidTagFormat), (6, DuplicateTag), (7, ReservedTagKey("time")), (8, MissingFields),
    ]),
    // ---- A4.7 tags: values are strings
    ok("A4.7 tag values are strings", b"m,a=1i,b=t,c=-1.5,d=\"x\" f=1", &[r#"m[a=1i,b=t,c=-1.5,d="\"x\""] f=1.0"#]),
    ok("A4.7 tag values that look like anything", b"m,a=1u,b=NaN,c=FALSE,d=0x1,e=1e400 f=1", &["m[a=1u,b=NaN,c=FALSE,d=0x1,e=1e400] f=1.0"]),
    // ---- A4.8 tags: a field of the same name
    ok("A4.8 tag and field of one name", b"m,f=a f=1", &["m[f=a] f=1.0"]),
    // ---- A5.1 fields: at least one
    bad("A5.1 measurement alone", b"m", &[(1, MissingFields)]),
    bad("A5.1 measurement and space", b"m  ", &[(1, MissingFields)]),
    bad("A5.1 measurement, space and tab", b"m \t", &[(1, MissingFields)]),
    // ---- A5.2 fields: key, = and value
    bad("A5.2 field missing behind comma", b"m f=1,", &[(1, MissingFieldKey)]),
    bad("A5.2 field missing before comma", b"m ,f=1", &[(1, MissingFieldKey)]),
    bad("A5.2 field missing between commas", b"m f=1,,g=2", &[(1, MissingFieldKey)]),
    bad("A5.2 field key empty", b"m =1", &[(1, MissingFieldKey)]),
    bad("A5.2 second field key empty", b"m f=1,=2", &[(1, MissingFieldKey)]),
    bad("A5.2 field without =", b"m f", &[(1, InvalidFieldFormat)]),
    bad("A5.2 field without = before comma", b"m f,g=1", &[(1, InvalidFieldFormat)]),
    bad("A5.2 second field without =", b"m f=1,g", &[(1, InvalidFieldFormat)]),
    bad("A5.2 second field without = before timestamp", b"m f=1,g 5", &[(1, InvalidFieldFormat)]),
    bad("A5.2 field of a timestamp alone", b"m 5", &[(1, InvalidFieldFormat)]),
    bad("A5.2 space behind a comma", b"m f=1, g=2", &[(1, InvalidFieldFormat)]),
    bad("A5.2 space behind the last comma", b"m f=1, ", &[(1, InvalidFieldFormat)]),
    bad("A5.2 space before =", b"m f =1", &[(1, InvalidFieldFormat)]),
    bad("A5.2 space behind =", b"m f= 1", &[(1, MissingFieldValue)]),
    bad("A5.2 value missing", b"m f=", &[(1, MissingFieldValue)]),
    bad("A5.2 value missing before comma", b"m f=,g=1", &[(1, MissingFieldValue)]),
    bad("A5.2 value missing before timestamp", b"m f= 5", &[(1, MissingFieldValue)]),
    bad("A5.2 = alone", b"m =", &[(1, MissingFieldKey)]),
    bad("A5.2 comma alone", b"m ,", &[(1, MissingFieldKey)]),
    bad("A5.2 value of a string missing", b"m f=,", &[(1, MissingFieldValue)]),
    bad("A5.2 tab behind a comma's space", b"m f=1, \tg=2", &[(1, InvalidFieldFormat)]),
    // ---- A5.3 fields: names
    ok("A5.3 field names without meaning here", b"m time=1,_field=2,_time=3,_value=4,5=6", &["m time=1.0,_field=2.0,_time=3.0,_value=4.0,5=6.0"]),
    ok("A5.3 field keys are case-sensitive", b"m f=1,F=2", &["m f=1.0,F=2.0"]),
    ok("A5.3 field key is a quote", b"m \"=1", &[r#"m "\""=1.0"#]),
    ok("A5.3 keys like values", b"m true=1,1i=2,-=3,\xc3\xa9=4", &[r#"m true=1.0,1i=2.0,-=3.0,"é"=4.0"#]),
    // ---- A5.4 fields: a key twice
    ok("A5.4 duplicate fields are kept", b"m f=1,f=2,g=3,f=4i", &["m f=1.0,f=2.0,g=3.0,f=4i"]),
    ok("A5.4 twice in other spelling", b"m a\\ b=1,a\\ b=2", &[r#"m "a b"=1.0,"a b"=2.0"#]),
    // ---- A5.5 fields: time
    ok("A5.5 a field named time parses", b"m time=1i,f=1 5\nm time=\"x\" 6", &["m time=1i,f=1.0 @5", r#"2|m time="x" @6"#]),
    ok("A5.5 Time and \\\\time are other names", b"m Time=1,\\time=2", &[r#"m Time=1.0,"\\time"=2.0"#]),
    bad("A5.5 a bad value of time is a bad line", b"m time=x,f=1 5", &[(1, InvalidBoolean)]),
];
