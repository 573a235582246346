"""Where InfluxDB 1.6 and the grammar of docs/LINE-PROTOCOL.md part, by name, and why ringest does it otherwise."""

import re

import influxdb1_reading
import lineproto
from influxdb1_reading import CR, COMMENT, LEADING, NUL, PAIRS, QUIRKS

# Name: what InfluxDB 1.6 does, and what ringest does instead, and why (A1.8 and the like are statements of docs/LINE-PROTOCOL.md).
CLASSES = {
    "CR is kept": (
        "a CR before LF stays in the line: an error behind numbers, part of the value behind a string",
        "it belongs to the line end, because clients send CRLF (A1.8)",
    ),
    "NUL is blank": (
        "NUL bytes count as blanks before points, fields and timestamps",
        "they are data (A8.2)",
    ),
    "comments hold strings": (
        'a comment with a space and `="` swallows the lines behind it, silently',
        "it ends at its LF (A1.7)",
    ),
    "leading blanks begin the fields": (
        'a line with a blank in front and `="` in its key swallows the next line',
        "blanks are cut off first (A1.4)",
    ),
    "backslashes pair up between lines": (
        "a backslash before LF hides it inside of pairs only, and at the end of the body not at all",
        "the byte right before decides (A2.8, A2.9)",
    ),
    "backslashes pair up in field keys": (
        "keys are judged with backslashes in pairs and stored with the byte right before deciding, so that some are refused",
        "one rule holds (A2.8)",
    ),
    "text behind a string": (
        '`"a"b` is accepted and stored as `a"`',
        "an error: the value would not be what was written (A6.2)",
    ),
    "tag values begin with =": (
        "the first byte of a tag value is not looked at",
        "an unescaped = is an error everywhere in it (A4.2)",
    ),
    "not UTF-8": (
        "bytes are stored as they come, or the answer is 500 where they are in a name",
        "an error: strings in Parquet are UTF-8 (A8.1)",
    ),
    "measurement escapes": (
        "`\\=` and `\\\"` of a measurement lose their backslash",
        "they stay two bytes, as the protocol is documented (A2.1)",
    ),
    "measurements lost": (
        "a measurement with a backslash left before a separator is stored where no query finds it",
        "it is found (A2.8)",
    ),
    "unsigned": (
        "unsigned integers are refused, unless the server is built for them",
        "they are stored (A6.6)",
    ),
    "reserved tags": (
        "the tag `time` drops its point while it is stored, `_field`, `_measurement` and NUL are taken",
        "all are errors, as in 2.x (A4.5)",
    ),
    "good lines of a bad body": (
        "they are written though the answer is 400",
        "a body with a bad line leaves nothing behind: the client can send it again (A9.1)",
    ),
    "status of a partial write": (
        "400",
        "422, as 2.x and as the documented interface (D.2)",
    ),
    "a field time": (
        "it is taken out without a word",
        "the answer says so (A5.5)",
    ),
    "two types in one batch": (
        "a new field that comes in two types makes the whole batch fail, with its first type born",
        "the first line decides (D.2)",
    ),
    "a type per shard": (
        "a field may have one type in each shard (a week, by default)",
        "one in its table, for ever (D.1)",
    ),
    "long strings": (
        "strings over 1 MiB are taken",
        "their points are dropped, as in 2.x (A6.3)",
    ),
}

EVENTS = {
    influxdb1_reading.GOOD_LINES: "good lines of a bad body",
    influxdb1_reading.TWO_TYPES: "two types in one batch",
    influxdb1_reading.OTHER_SHARD: "a type per shard",
    influxdb1_reading.LONG_STRING: "long strings",
    influxdb1_reading.TIME_FIELD: "a field time",
    influxdb1_reading.HIDDEN: "measurements lost",
}

SPLITTING = {
    CR: "CR is kept",
    NUL: "NUL is blank",
    COMMENT: "comments hold strings",
    LEADING: "leading blanks begin the fields",
    PAIRS: "backslashes pair up between lines",
}


class Unexplained(Exception):
    """A difference that has no name."""


def shown(text):
    """As an answer in JSON shows bytes that are not UTF-8."""
    return re.sub("\ufffd+", "\ufffd", text.decode(errors="replace"))


def explain(body, precision):
    """The names of the differences in reading one body."""
    names = splitting(body)
    ours = dict(influxdb1_reading.lines(body, frozenset()))
    theirs = dict(influxdb1_reading.lines(body))
    reader = lineproto.Reader(precision)
    for start in ours.keys() & theirs.keys():
        if theirs[start].removesuffix(b"\r") in (ours[start], ours[start].removesuffix(b"\r")):
            names |= reading(ours[start], reader)
    return names


def splitting(body):
    """The quirks that matter to where lines begin and end."""
    all_quirks, none = list(influxdb1_reading.lines(body)), list(influxdb1_reading.lines(body, frozenset()))
    if all_quirks == none:
        return set()
    matter = {quirk for quirk in QUIRKS if list(influxdb1_reading.lines(body, QUIRKS - {quirk})) != all_quirks}
    matter = matter or {quirk for quirk in QUIRKS if list(influxdb1_reading.lines(body, frozenset({quirk}))) != none}
    if not matter:
        raise Unexplained(f"lines begin and end elsewhere in {body!r}")
    return {SPLITTING[quirk] for quirk in matter}


def reading(line, reader):
    """The name of the difference in reading one line, if there is one."""
    try:
        point = reader.parse_line(line)
        ours = (point["measurement"], point["tags"], [tuple(field) for field in point["fields"]], point["time"])
    except lineproto.Malformed as error:
        ours = str(error)
    try:
        measurement, tags, fields, time = influxdb1_reading.read_line(line, reader.unit_ns)
        tags = tuple((shown(key), shown(value)) for key, value in tags)
        fields = [(shown(key), kind, shown(value) if kind == "string" else value) for key, kind, value in fields]
        theirs = (shown(measurement), tags, fields, time)
    except influxdb1_reading.Malformed as error:
        theirs = str(error)
    if (isinstance(ours, str) and isinstance(theirs, str)) or repr(ours) == repr(theirs):
        return set()
    for name, applies in READING:
        if applies(line, ours, theirs):
            return {name}
    raise Unexplained(f"{line!r}: here {ours}, in InfluxDB {theirs}")


def refused_for(reason):
    """Here the line is an error for this reason, there it is a point."""
    return lambda line, ours, theirs: isinstance(ours, str) and ours.startswith(reason) and not isinstance(theirs, str)


def unsigned(line, ours, theirs):
    return not isinstance(ours, str) and any(kind == "unsigned" for _, kind, _ in ours[2]) and theirs == "invalid number"


def measurement(line, ours, theirs):
    both = not isinstance(ours, str) and not isinstance(theirs, str)
    return both and repr(ours[1:]) == repr(theirs[1:]) and re.search(r'\\[="]', ours[0]) is not None


def nul(line, ours, theirs):
    return re.search(rb" [ \t]*\0", line) is not None


def pairs(line, ours, theirs):
    return b"\\\\" in line


READING = [
    ("not UTF-8", refused_for("invalid UTF-8")),
    ("reserved tags", refused_for("cannot use reserved tag key")),
    ("text behind a string", refused_for("invalid field format: text after the closing quote")),
    ("tag values begin with =", refused_for("invalid tag format")),
    ("unsigned", unsigned),
    ("measurement escapes", measurement),
    ("NUL is blank", nul),
    ("backslashes pair up in field keys", pairs),
]
