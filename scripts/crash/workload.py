"""What the writers send. A request is described in a few words, from which its points can be made again at any time: the writers
make its body of them, the checker what the lake must hold.

Every point of the kinds below, but not a register, carries the request's number (`req`) and its place in the request (`idx`), and has
a series and a time of its own.
"""

import dataclasses
import functools
import gzip
import typing
import zlib

DAY_NS = 86_400 * 10**9
UNIT_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
# Times of neighbouring slots, in units of the precision: uneven, and a day has room for a campaign.
STEP = {"ns": 1_000_003, "us": 1_003, "ms": 7, "s": 1}
HOSTS = 8
SLOTS_MAX = DAY_NS // UNIT_NS["s"] * HOSTS

# Points lie on these days after the campaign's origin, 3 days back; old ones are beyond every finite retention.
DAYS = 3
OLD_DAY = -400
STRING_BYTES_MAX = 1 << 20

BASE_TYPES = {
    "req": "integer",
    "idx": "integer",
    "v": "float",
    "ok": "boolean",
    "s": "string",
    "n": "unsigned",
    "pad": "string",
    "f0": "integer",
    "f1": "integer",
    "f2": "integer",
    "g0": "float",
    "h0": "string",
}
REGISTER_FIELDS = ["f0", "f1", "f2", "g0", "h0"]
BASE_TAGS = {"c", "host", "p", "k"}
# Names that only points carry which must not be stored.
NEVER = "never"

FORMATS = {
    "float": repr,
    "integer": lambda value: f"{value}i",
    "unsigned": lambda value: f"{value}u",
    "boolean": lambda value: "t" if value else "f",
    "string": lambda value: f'"{value}"',
}


@dataclasses.dataclass(slots=True)
class Request:
    # Unique in the campaign.
    number: int
    # points, bulk, probe: all sound. mix: some points must be dropped. ghost: all of them must. bad: malformed. race: bears what others
    # bear at the same moment. registers: overwrites.
    kind: str
    client: int
    life: int
    bucket: str
    precision: str
    # The client's first slot of time, and how many points follow.
    start: int
    size: int
    # What the kind needs beside.
    extra: dict
    # Of gzip, chunked, v2.
    sending: list = dataclasses.field(default_factory=list)


class Point(typing.NamedTuple):
    table: str
    tags: tuple
    time: int
    # (name, type, value) each.
    fields: tuple


def points(request, origin):
    """The request's points; those of a malformed request as if it were none. `origin` is midnight of the campaign's first day."""
    if request.kind == "registers":
        return [register_point(line, origin) for line in request.extra["lines"]]
    if request.kind == "race":
        return race_points(request, origin)
    return placed_points(request, origin)


def placed_points(request, origin):
    """Sound points, in turn at the places (table, day) of the request, with the faults that it asks for."""
    places = request.extra["places"]
    faults = dict(request.extra.get("faults", ()))
    made = []
    for index in range(request.size):
        table, day = places[index % len(places)]
        point = sound_point(request, index, table, day, origin)
        made.append(faulty(point, faults[index], request) if index in faults else point)
    return made


def sound_point(request, index, table, day, origin):
    slot = request.start + index
    unit = UNIT_NS[request.precision]
    time = origin + day * DAY_NS + slot // HOSTS * STEP[request.precision] * unit
    tags = (("c", str(request.client)), ("host", f"h{slot % HOSTS}"), ("p", request.precision))
    return Point(table, tags, time, sound_fields(request, index))


def sound_fields(request, index):
    number = request.number
    fields = [("req", "integer", number), ("idx", "integer", index), ("v", "float", (number % 1_000_003 * 31 + index) / 8)]
    if index % 3 == 0:
        fields.append(("ok", "boolean", (number + index) % 2 == 0))
    if index % 4 == 0:
        fields.append(("s", "string", f"{number} of {index}"))
    if index % 5 == 0:
        fields.append(("n", "unsigned", number * 7 + index))
    if "pad" in request.extra:
        fields.append(("pad", "string", pad(request.extra["pad"])))
    return tuple(fields)


@functools.lru_cache
def pad(size):
    """One object for all points with it: there are many, and large ones."""
    return "0123456789abcdef" * (size // 16)


def faulty(point, fault, request):
    """The point with a fault that drops it, or, in the case of `time`, a field that is removed."""
    never = (f"{NEVER}{request.number}", "float", 1.0)
    by_name = {field[0]: field for field in point.fields}
    match fault:
        case "conflict":
            by_name["v"] = ("v", "string", "not a float")
            return point._replace(fields=(*by_name.values(), never))
        case "conflict-tag":
            by_name["v"] = ("v", "integer", 1)
            return point._replace(fields=tuple(by_name.values()), tags=with_tag(point.tags, (f"{NEVER}{request.number}", "x")))
        case "old":
            return point._replace(time=old(point.time))
        case "ghost":
            return point._replace(time=old(point.time), fields=(*point.fields, never))
        case "long":
            by_name["s"] = ("s", "string", pad(STRING_BYTES_MAX + 16))
            return point._replace(fields=tuple(by_name.values()))
        case "time":
            return point._replace(fields=(*point.fields, ("time", "integer", 1)))
        case "time-only":
            return point._replace(fields=(("time", "float", 1.0),))
        case "bad":
            return point._replace(fields=(*point.fields, never))
    raise ValueError(fault)


def old(time):
    return time + OLD_DAY * DAY_NS


def with_tag(tags, tag):
    return tuple(sorted((*tags, tag)))


def race_points(request, origin):
    """First the points that bear the contested name, then sound ones at the places."""
    extra = request.extra
    made = []
    for index, (name, bears, kind) in enumerate(extra["births"]):
        point = sound_point(request, index, extra["table"], extra["day"], origin)
        if bears == "tag":
            made.append(point._replace(tags=with_tag(point.tags, (name, "x"))))
        else:
            made.append(point._replace(fields=(*point.fields, (name, kind, race_value(kind, request.number)))))
    for index in range(len(made), request.size):
        table, day = extra["places"][index % len(extra["places"])]
        made.append(sound_point(request, index, table, day, origin))
    return made


def race_value(kind, number):
    match kind:
        case "float":
            return number / 4
        case "boolean":
            return number % 2 == 0
        case "string":
            return f"race {number}"
    return number


def register_point(line, origin):
    """`line` is (table, key, day, fields, count): all fields show the client's count of register lines, which only grows."""
    table, key, day, fields, count = line
    values = tuple((name, BASE_TYPES[name], register_value(name, count)) for name in fields)
    return Point(table, (("k", key),), register_time(day, origin), values)


def register_time(day, origin):
    return origin + day * DAY_NS + 12 * 3600 * 10**9


def register_value(name, count):
    kind = BASE_TYPES[name]
    return f"v{count}" if kind == "string" else float(count) if kind == "float" else count


def register_count(name, value):
    return int(value[1:]) if BASE_TYPES[name] == "string" else int(value)


def encode(request, made):
    """The request's body as it is sent."""
    unit = UNIT_NS[request.precision]
    lines = [encode_point(point, unit) for point in made]
    if request.kind == "bad":
        broken = request.extra["broken"]
        lines[broken] = request.extra["line"]
    body = "\n".join(lines).encode()
    if "gzip" in request.sending:
        # Level 1: the writers share the machine with the node.
        body = gzip.compress(body, compresslevel=1, mtime=0)
    if request.extra.get("torn"):
        body = body[: len(body) // 2]
    return body


def encode_point(point, unit):
    tags = "".join([f",{name}={value}" for name, value in point.tags])
    fields = ",".join([f"{name}={FORMATS[kind](value)}" for name, kind, value in point.fields])
    return f"{point.table}{tags} {fields} {point.time // unit}"


def fingerprint(text):
    """A number that is the same in every process, unlike hash()."""
    return zlib.crc32(text.encode())
