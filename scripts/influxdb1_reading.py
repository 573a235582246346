"""How InfluxDB 1.6 reads and stores line protocol, quirks and all: what to expect of a server, told line by line.

It follows the server's own steps (a scan of key, fields and time, then a second reading of the fields), because its quirks come from them.
"""

import re

import lineproto

TIME_MIN, TIME_MAX = lineproto.TIME_MIN, lineproto.TIME_MAX
KEY_BYTES_MAX = lineproto.KEY_BYTES_MAX
# Shards of 10000 weeks, counted from the year 1.
SHARD_NS = 10_000 * 7 * 86_400 * 10**9
YEAR_1_NS = -62_135_596_800 * 10**9
SHARDS = [
    range(max(start, TIME_MIN), min(start + SHARD_NS, TIME_MAX + 1))
    for start in range(TIME_MIN - (TIME_MIN - YEAR_1_NS) % SHARD_NS, TIME_MAX, SHARD_NS)
]

# How lines are told apart other than by the grammar of docs/LINE-PROTOCOL.md; without any of these it is the same.
CR, NUL, COMMENT, LEADING, PAIRS = "CR", "NUL", "comment", "leading", "pairs"
QUIRKS = frozenset({CR, NUL, COMMENT, LEADING, PAIRS})

MARK = re.compile(rb'[\\ =,"\n]')


class Malformed(Exception):
    """The line is not line protocol."""


def skip_blanks(text, at, blanks=b" \t\0"):
    while at < len(text) and text[at] in blanks:
        at += 1
    return at


def lines(body, quirks=QUIRKS):
    """Yields (start, text) of every line with a point, blanks in front cut off."""
    blanks = b" \t\0" if NUL in quirks else b" \t"
    at = 0
    while at < len(body):
        start = skip_blanks(body, at, blanks)
        comment = body[start : start + 1] == b"#"
        if comment and COMMENT not in quirks:
            end = body.find(b"\n", start)
            end = len(body) if end < 0 else end
        else:
            end = line_end(body, at if LEADING in quirks else start, quirks)
        at = end + 1
        text = body[start:end]
        if CR not in quirks and text.endswith(b"\r") and not ends_in_string(text):
            text = text[:-1]
        if text and not comment:
            yield start, text


def ends_in_string(line):
    """Whether the line's last string is never closed; only the body's last line can be so."""
    return line_end(line + b"\n", 0, frozenset()) > len(line)


def next_mark(text, at):
    """Where the next byte stands that means something outside or inside of strings, or the end."""
    mark = MARK.search(text, at)
    return mark.start() if mark else len(text)


def line_end(body, at, quirks):
    """Where the line that begins at `at` ends: at its LF or behind the body."""
    start = at
    quoted = in_fields = False
    equals = commas = 0
    while (at := next_mark(body, at)) < len(body):
        byte = body[at : at + 1]
        if PAIRS in quirks or quoted:
            if byte == b"\\" and at + (2 if PAIRS in quirks else 0) < len(body):
                at += 2
                continue
        elif at > start and body[at - 1 : at] == b"\\":
            at += 1
            continue
        if byte == b" ":
            in_fields = True
        if in_fields and not quoted and byte == b"=":
            equals += 1
        elif in_fields and not quoted and byte == b",":
            commas += 1
        elif in_fields and byte == b'"' and equals > commas:
            quoted = not quoted
        elif byte == b"\n" and not quoted:
            break
        at += 1
    # Behind a backslash at the very end.
    return min(at, len(body)) if not quoted or PAIRS in quirks else len(body)


def scan_key(line):
    """Where the key ends: at an unescaped space."""
    if line.startswith(b","):
        raise Malformed("missing measurement")
    at = 1
    while True:
        mark = line[at : at + 1]
        if not mark:
            raise Malformed("missing fields")
        if line[at - 1 : at] != b"\\":
            if mark == b" ":
                return at
            if mark == b",":
                return scan_tags(line, at + 1)
        at += 1


def scan_tags(line, at):
    while True:
        if line[at : at + 1] in (b"", b" ", b",", b"="):
            raise Malformed("missing tag key")
        at += 1
        while not (line[at : at + 1] == b"=" and line[at - 1 : at] != b"\\"):
            if at >= len(line) or (line[at : at + 1] in (b" ", b",") and line[at - 1 : at] != b"\\"):
                raise Malformed("missing tag value")
            at += 1
        at += 1
        if line[at : at + 1] in (b"", b" ", b","):
            raise Malformed("missing tag value")
        # The value's first byte is not looked at again.
        at += 1
        while True:
            if at >= len(line):
                raise Malformed("missing fields")
            if line[at - 1 : at] != b"\\":
                if line[at : at + 1] == b"=":
                    raise Malformed("invalid tag format")
                if line[at : at + 1] == b" ":
                    return at
                if line[at : at + 1] == b",":
                    break
            at += 1
        at += 1


def scan_fields(line, at):
    """(start, end) of the fields: up to a space that is neither quoted nor behind a backslash; backslashes count in pairs."""
    at = start = skip_blanks(line, at)
    quoted = False
    equals = commas = 0
    while (at := next_mark(line, at)) < len(line):
        byte = line[at : at + 1]
        if byte == b"\\" and at + 1 < len(line):
            at += 2
            continue
        if byte == b'"' and equals > commas:
            quoted = not quoted
            at += 1
            continue
        if byte == b"=" and not quoted:
            equals += 1
            if line[at - 1 : at] in (b" ", b",") and line[at - 2 : at - 1] != b"\\":
                raise Malformed("missing field key")
            behind = line[at + 1 : at + 2]
            if behind in (b"", b",", b" "):
                raise Malformed("missing field value")
            if behind in b"0123456789.-Nn":
                at = scan_number(line, at + 1)
                continue
            if behind != b'"':
                at = scan_boolean(line, at + 1)
                continue
        if byte == b"," and not quoted:
            commas += 1
        if byte == b" " and not quoted:
            break
        at += 1
    if quoted:
        raise Malformed("unbalanced quotes")
    if at == start:
        raise Malformed("missing fields")
    if equals == 0 or commas != equals - 1:
        raise Malformed("invalid field format")
    return start, at


def token_end(line, at):
    while at < len(line) and line[at] not in b", ":
        at += 1
    return at


def scan_number(line, start):
    end = token_end(line, start)
    token = line[start:end]
    if lineproto.INTEGER.fullmatch(token):
        if not -(2**63) <= int(token[:-1]) < 2**63:
            raise Malformed("unable to parse integer")
    elif lineproto.FLOAT.fullmatch(token):
        if abs(float(token)) == float("inf"):
            raise Malformed("invalid float")
    else:
        raise Malformed("invalid number")
    return end


def scan_boolean(line, start):
    end = token_end(line, start)
    if line[start:end] not in lineproto.BOOLEANS:
        raise Malformed("invalid boolean")
    return end


def read_fields(fields):
    """The fields as they are read again to be stored: [(key as written, type, value)]."""
    found = []
    at = 0
    while at < len(fields):
        start = at
        while at < len(fields) and not (fields[at : at + 1] == b"=" and (at == 0 or fields[at - 1 : at] != b"\\")):
            at += 1
        key = fields[start:at]
        start = at = at + 1
        quoted = False
        while (at := next_mark(fields, at)) < len(fields):
            if fields[at : at + 2] in (b'\\"', b"\\\\"):
                at += 2
                continue
            if fields[at : at + 1] == b'"':
                quoted = not quoted
            elif fields[at : at + 1] == b"," and not quoted:
                break
            at += 1
        found.append((key, *read_value(fields[start:at])))
        at += 1
    return found


def read_value(text):
    if text.startswith(b'"'):
        return "string", unescape(text[1:-1], rb"\"\\")
    if lineproto.INTEGER.fullmatch(text):
        return "integer", int(text[:-1])
    if lineproto.FLOAT.fullmatch(text):
        return "float", float(text)
    if text in lineproto.BOOLEANS:
        return "boolean", lineproto.BOOLEANS[text]
    raise Malformed("invalid value")


def unescape(text, special):
    return re.sub(rb"\\([" + special + rb"])", rb"\1", text)


def read_key(key):
    """Measurement and tags."""
    measurement, *tags = lineproto.COMMA.split(key)
    # The value's first byte may be an =.
    pairs = [(match.start(), tag) for tag in tags if (match := lineproto.EQUALS.search(tag, 1))]
    read = {unescape(tag[:at], b",= "): unescape(tag[at + 1 :], b",= ") for at, tag in pairs}
    if len(read) < len(tags):
        raise Malformed("duplicate tags")
    return unescape(measurement, b',= "'), tuple(sorted(read.items()))


def read_time(line, at, unit_ns):
    at = start = skip_blanks(line, at)
    while at < len(line) and line[at] not in b" \n":
        if not (line[at] in b"0123456789" or (at == start and line[at : at + 1] == b"-")):
            raise Malformed("bad timestamp")
        at += 1
    token = line[start:at]
    if not token:
        return None
    if token == b"-":
        raise Malformed("bad timestamp")
    time = int(token) * unit_ns
    if not TIME_MIN <= time <= TIME_MAX:
        raise Malformed("time outside range")
    if line[at:].strip(b" "):
        raise Malformed("point is invalid")
    return time


def read_line(line, unit_ns):
    """A point: (measurement, tags, [(field, type, value)], time), names and strings as bytes."""
    key_end = scan_key(line)
    measurement, tags = read_key(line[:key_end])
    if key_end > KEY_BYTES_MAX:
        raise Malformed("max key length exceeded")
    start, end = scan_fields(line, key_end)
    fields = read_fields(line[start:end])
    if any(key_end + 4 + len(key) > KEY_BYTES_MAX for key, _, _ in fields):
        raise Malformed("max key length exceeded")
    fields = [(unescape(key, rb',= "'), kind, value) for key, kind, value in fields]
    return measurement, tags, fields, read_time(line, end, unit_ns)


# What a server does with points that ringest does not, told by the database that it happens to.
GOOD_LINES, TWO_TYPES, OTHER_SHARD = "good lines", "two types", "other shard"
LONG_STRING, TIME_FIELD, HIDDEN = "long string", "time field", "hidden"


class Database:
    """One database: rows {(measurement, tags, time): {field: (type, value)}}, names and strings as bytes."""

    def __init__(self):
        self.rows = {}
        self.types = {}
        self.events = set()

    def read(self, body, precision, received_ns):
        """(points, number of lines that are malformed)."""
        unit_ns = lineproto.PRECISION_NS[precision]
        points, malformed = [], 0
        for _, line in lines(body):
            try:
                measurement, tags, fields, time = read_line(line, unit_ns)
                points.append((measurement, tags, fields, received_ns - received_ns % unit_ns if time is None else time))
            except Malformed:
                malformed += 1
        return points, malformed

    def write(self, body, precision, received_ns):
        """Returns (status, number of lines that are named as malformed)."""
        points, malformed = self.read(body, precision, received_ns)
        if not points:
            return (400 if malformed else 204), malformed
        if malformed:
            self.events.add(GOOD_LINES)
        shards = {}
        for point in points:
            shard = next(number for number, times in enumerate(SHARDS) if point[3] in times)
            shards.setdefault(shard, []).append(point)
        refused = [self.store(shard, of_shard) for shard, of_shard in shards.items()]
        if any(refused):
            return 400, 0
        return (400 if malformed else 204), malformed

    def store(self, shard, points):
        """Into one shard; returns whether a point was refused."""
        kept = [point for point in (self.fitting(shard, *point) for point in points) if point]
        for measurement, _, fields, _ in kept:
            for key, kind, _ in fields:
                if self.types.setdefault((shard, measurement, key), kind) != kind:
                    # The fields up to here stay born, no point is written.
                    self.events.add(TWO_TYPES)
                    return True
        if any(len(self.kinds(measurement, key)) > 1 for measurement, _, fields, _ in kept for key, _, _ in fields):
            self.events.add(OTHER_SHARD)
        for measurement, tags, fields, time in kept:
            if unescape(measurement, rb',= "') != measurement:
                # Its name is unescaped once more on the way, and its fields are looked for elsewhere.
                self.events.add(HIDDEN)
                continue
            row = self.rows.setdefault((measurement, tags, time), {})
            row.update((key, (kind, value)) for key, kind, value in fields)
        return len(kept) < len(points)

    def kinds(self, measurement, field):
        """The types that a field has, in any shard."""
        kinds = (self.types.get((shard, measurement, field)) for shard in range(len(SHARDS)))
        return {kind for kind in kinds if kind}

    def fitting(self, shard, measurement, tags, fields, time):
        """The point without its field `time`, or None if it is refused."""
        others = [field for field in fields if field[0] != b"time"]
        if any(key == b"time" for key, _ in tags) or not others:
            return None
        if any(self.types.get((shard, measurement, key), kind) != kind for key, kind, _ in others):
            return None
        if len(others) < len(fields):
            self.events.add(TIME_FIELD)
        if any(kind == "string" and len(value) > lineproto.STRING_BYTES_MAX for _, kind, value in others):
            self.events.add(LONG_STRING)
        return measurement, tags, others, time

    def names_not_utf8(self, body, precision):
        """Whether the body has a measurement or field key that is not UTF-8."""
        points, _ = self.read(body, precision, 0)
        names = [name for measurement, _, fields, _ in points for name in (measurement, *(field[0] for field in fields))]
        return any(not is_utf8(name) for name in names)


def is_utf8(text):
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
