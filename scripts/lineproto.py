"""Line protocol read the slow and plain way, as a second opinion on what the node stores.

A point is a dict: line (1-based), measurement, tags (sorted tuple of pairs), fields (list of (key, type, value), duplicates kept) and time
(nanoseconds, or None). Types are float, integer, unsigned, boolean and string.

    python scripts/lineproto.py FILE     prints one JSON object per point, then the bad lines
"""

import json
import re
import sys

# Numbers may have any number of leading zeros.
sys.set_int_max_str_digits(0)

KEY_BYTES_MAX = 65_535
STRING_BYTES_MAX = 1 << 20
TIME_MIN, TIME_MAX = -(2**63) + 2, 2**63 - 2
RESERVED_TAG_KEYS = {b"time", b"_field", b"_measurement", b"\0"}
PRECISION_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}

# A byte outside of strings is escaped when the byte right before it is a backslash.
KEY_END = re.compile(rb"(?<!\\)[ \n]")
SECTION_MARK = re.compile(rb'(?<!\\)[=,"\n]')
STRING_REST = re.compile(rb'(?:[^"\\]|\\.)*"', re.DOTALL)
COMMA = re.compile(rb"(?<!\\),")
EQUALS = re.compile(rb"(?<!\\)=")
SPACE = re.compile(rb"(?<!\\) ")
FIELD_KEY_END = re.compile(rb"(?<!\\)[=, ]")
VALUE_END = re.compile(rb"[, ]|\Z")

INTEGER = re.compile(rb"-?[0-9]+i")
UNSIGNED = re.compile(rb"[0-9]+u")
FLOAT = re.compile(rb"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
TIMESTAMP = re.compile(rb"-?[0-9]+")
BOOLEANS = {word: value for value, words in ((True, b"t T true True TRUE"), (False, b"f F false False FALSE")) for word in words.split()}


class Malformed(Exception):
    """The line is not line protocol."""


def lines(body):
    """Yields (number, start, end, next) of every line with a point: its bytes without blanks in front, line end and CR, and where the next line starts."""
    position, number = 0, 1
    while position < len(body):
        begin = position
        while body[begin : begin + 1] in (b" ", b"\t"):
            begin += 1
        comment = body[begin : begin + 1] == b"#"
        line_feed = body.find(b"\n", begin) if comment else line_end(body, begin)
        if line_feed is None:  # A CR at the end is inside of the string.
            text_end = following = len(body)
        else:
            end = len(body) if line_feed < 0 else line_feed
            following = len(body) if line_feed < 0 else line_feed + 1
            text_end = end - 1 if end > begin and body[end - 1 : end] == b"\r" else end
        if not comment and text_end > begin:
            yield number, begin, text_end, following
        number += body.count(b"\n", position, following)
        position = following


def line_end(body, begin):
    """The offset of the LF that ends the line, or -1; None if a string is never closed."""
    mark = KEY_END.search(body, begin)
    if mark is None:
        return -1
    if mark.group() == b"\n":
        return mark.start()
    equals = commas = 0
    position = mark.end()
    while (mark := SECTION_MARK.search(body, position)) is not None:
        position = mark.end()
        if mark.group() == b"\n":
            return mark.start()
        if mark.group() == b"=":
            equals += 1
        elif mark.group() == b",":
            commas += 1
        elif equals > commas:
            string = STRING_REST.match(body, position)
            if string is None:
                return None
            position = string.end()
    return -1


def unescape(text, special):
    return re.sub(rb"\\([" + special + rb"])", rb"\1", text).decode()


def parse_key(key):
    """(measurement, sorted tags) of a series key."""
    measurement, *tags = COMMA.split(key)
    if not measurement:
        raise Malformed("missing measurement")
    written = []
    for tag in tags:
        name, *values = EQUALS.split(tag)
        if not name:
            raise Malformed("missing tag key")
        if len(values) > 1:
            raise Malformed("invalid tag format")
        if not values or not values[0]:
            raise Malformed("missing tag value")
        written.append((name, values[0]))
    pairs = {unescape(name, b",= "): unescape(value, b",= ") for name, value in written}
    if len(pairs) < len(tags):
        raise Malformed("duplicate tags")
    reserved = [name for name, _ in written if name in RESERVED_TAG_KEYS]
    if reserved:
        raise Malformed(f"cannot use reserved tag key {reserved[0].decode()!r}")
    if len(key) > KEY_BYTES_MAX:
        raise Malformed(f"max key length exceeded: {len(key)} > {KEY_BYTES_MAX}")
    return unescape(measurement, b", "), tuple(sorted(pairs.items(), key=lambda pair: pair[0].encode()))


def parse_number_or_word(token):
    if token in BOOLEANS:
        return "boolean", BOOLEANS[token]
    if INTEGER.fullmatch(token):
        value = int(token[:-1])
        if not -(2**63) <= value < 2**63:
            raise Malformed("unable to parse integer: value out of range")
        return "integer", value
    if UNSIGNED.fullmatch(token):
        value = int(token[:-1])
        if value >= 2**64:
            raise Malformed("unable to parse unsigned: value out of range")
        return "unsigned", value
    if FLOAT.fullmatch(token):
        value = float(token)
        if value in (float("inf"), float("-inf")):
            raise Malformed("invalid float: value out of range")
        return "float", value
    raise Malformed("invalid number" if token[:1] in b"-.0123456789" else "invalid boolean")


def parse_fields(line, position, key_length):
    """(fields, where the text after them starts)."""
    fields = []
    while True:
        mark = FIELD_KEY_END.search(line, position)
        key = line[position : mark.start() if mark else len(line)]
        if not key and (mark is None or mark.group() != b" "):
            raise Malformed("missing field key")
        if mark is None or mark.group() != b"=":
            raise Malformed("invalid field format")
        if key_length + 4 + len(key) > KEY_BYTES_MAX:
            raise Malformed(f"max key length exceeded: {key_length + 4 + len(key)} > {KEY_BYTES_MAX}")
        position = mark.end()
        if line[position : position + 1] == b'"':
            string = STRING_REST.match(line, position + 1)
            if string is None:
                raise Malformed("unbalanced quotes")
            kind, value = "string", unescape(line[position + 1 : string.end() - 1], rb"\"\\")
            position = string.end()
            if line[position : position + 1] not in (b"", b",", b" "):
                raise Malformed("invalid field format: text after the closing quote")
        else:
            end = VALUE_END.search(line, position).start()
            if end == position:
                raise Malformed("missing field value")
            kind, value = parse_number_or_word(line[position:end])
            position = end
        fields.append((unescape(key, rb',= "'), kind, value))
        if line[position : position + 1] != b",":
            return fields, position
        position += 1


def parse_time(rest, unit_ns):
    """`rest` is what follows the fields; None if it holds no timestamp."""
    text = rest.lstrip(b" \t")
    if not text:
        return None
    token, _, after = text.partition(b" ")
    if not TIMESTAMP.fullmatch(token):
        raise Malformed("bad timestamp")
    time = int(token) * unit_ns
    if not TIME_MIN <= time <= TIME_MAX:
        raise Malformed(f"time outside range {TIME_MIN} - {TIME_MAX}")
    if after.strip(b" "):
        raise Malformed("point is invalid: text after the timestamp")
    return time


class Reader:
    """Parses bodies; remembers series keys, which repeat."""

    def __init__(self, precision="ns"):
        self.unit_ns = PRECISION_NS[precision]
        self.series = {}

    def parse_line(self, line):
        try:
            line.decode()
        except UnicodeDecodeError:
            raise Malformed("invalid UTF-8") from None
        space = SPACE.search(line)
        key = line[: space.start()] if space else line
        known = self.series.get(key)
        if known is None:
            known = self.series[key] = parse_key(key)
        position = len(key)
        while line[position : position + 1] in (b" ", b"\t"):
            position += 1
        if position == len(line):
            raise Malformed("missing fields")
        fields, end = parse_fields(line, position, len(key))
        return {"measurement": known[0], "tags": known[1], "fields": fields, "time": parse_time(line[end:], self.unit_ns)}

    def parse(self, body):
        """(points, errors as (line number, reason))."""
        points, errors = [], []
        for number, start, end, _ in lines(body):
            try:
                points.append({"line": number} | self.parse_line(body[start:end]))
            except Malformed as error:
                errors.append((number, str(error)))
        return points, errors


class Merged:
    """What a lake must hold after points were written in order: the last write wins, field by field."""

    def __init__(self):
        # measurement -> (tags, time) -> field -> value
        self.tables = {}
        # (measurement, field) -> type, fixed by the first value
        self.types = {}

    def add(self, points):
        for point in points:
            measurement = point["measurement"]
            rows = self.tables.setdefault(measurement, {})
            row = rows.setdefault((point["tags"], point["time"]), {})
            for field, kind, value in point["fields"]:
                if self.types.setdefault((measurement, field), kind) != kind:
                    raise ValueError(f"line {point['line']}: field {field!r} of {measurement!r} has two types")
                row[field] = value

    def rows(self):
        return sum(len(rows) for rows in self.tables.values())


class Bucket:
    """What a bucket must hold after requests: a type per field, for ever; points that do not fit dropped whole; later fields win."""

    def __init__(self):
        # (measurement, tags, time) -> field -> (type, value)
        self.rows = {}
        self.types = {}

    def write(self, points, received_ns):
        """The status of the answer to a body whose lines are all good."""
        status = 204
        for point in points:
            kept = [field for field in point["fields"] if field[0] != "time"]
            if not self.take(point, kept, received_ns) or len(kept) < len(point["fields"]):
                status = 422
        return status

    def take(self, point, fields, received_ns):
        types = dict(self.types)
        for field, kind, value in fields:
            known = types.setdefault((point["measurement"], field), kind)
            if known != kind or (kind == "string" and len(value.encode()) > STRING_BYTES_MAX):
                return False
        if fields:
            self.types = types
            time = received_ns if point["time"] is None else point["time"]
            row = self.rows.setdefault((point["measurement"], point["tags"], time), {})
            row.update((field, (kind, value)) for field, kind, value in fields)
        return bool(fields)


def main():
    body = open(sys.argv[1], "rb").read()
    points, errors = Reader().parse(body)
    for point in points:
        print(json.dumps(point))
    for number, reason in errors:
        print(f"line {number}: {reason}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
