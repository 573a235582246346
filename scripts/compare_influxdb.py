"""The same bodies to InfluxDB 1.6, to ringest and to an independent reading: python scripts/compare_influxdb.py BINARY

Bodies are the cases of tests/cases/line_cases.json and, seeded, bodies that are nearly right. Answers and points stored must be

- of ringest: what scripts/lineproto.py makes of the bodies, without exception;
- of InfluxDB: what scripts/influxdb1_reading.py says that InfluxDB makes of them, without exception;
- different between the two for reasons that scripts/influxdb1_differences.py names, each of which must occur.

Needs influxd of the Debian package influxdb.
"""

import environment  # noqa: F401  first of all: the packages below live there

import argparse
import collections
import json
import re
import time

import influxdb1_reading
import lake
import line_inputs
import lineproto
from influxdb1 import InfluxDB
from influxdb1_differences import CLASSES, EVENTS, Unexplained, explain, shown
from node import Client, Node

KINDS = {type: kind for kind, type in lake.TYPES.items()}
LISTED = re.compile(r"unable to parse '(.*?)': ([^\n]*) \(line (\d+)\)(?=\n|$)", re.DOTALL)


class Differs(Exception):
    """An answer or a point is not what it should be."""


def expect(what, found, wanted):
    if found != wanted:
        raise Differs(f"{what}:\n  found  {found!r:.1000}\n  wanted {wanted!r:.1000}")


class Window:
    """The times that points without one may have got; they are all called "now"."""

    def __init__(self, precision):
        self.unit = lineproto.PRECISION_NS[precision]
        self.first = self.last = time.time_ns()

    def end(self):
        self.last = time.time_ns()

    def name(self, time_ns):
        return "now" if self.first - self.first % self.unit <= time_ns <= self.last else time_ns

    def rows(self, rows):
        """With values as text, which tells -0.0 from 0.0."""
        named = collections.defaultdict(dict)
        for (measurement, tags, time_ns), fields in rows.items():
            text = {field: (kind, repr(value)) for field, (kind, value) in fields.items()}
            named[measurement, tags, self.name(time_ns)].update(text)
        return dict(named)


class Ringest:
    """One node; each input has a bucket of its own."""

    def __init__(self, node):
        self.node = node
        self.client = Client(node)
        self.windows = {}
        self.buckets = {}

    def write(self, number, given):
        bucket, window = lineproto.Bucket(), Window(given.precision)
        self.windows[number], self.buckets[number] = window, bucket
        statuses = []
        for body in given.bodies:
            path = f"/write?db=case-{number}&precision={given.precision}"
            status, answer = self.client.request("POST", path, body)
            points, errors = lineproto.Reader(given.precision).parse(body)
            if errors:
                expect(f"{given.name}: status", status, 400)
                self.check_errors(given, json.loads(answer), errors)
            else:
                wanted = bucket.write(points, window.first)
                expect(f"{given.name}: status of ringest ({answer})", status, wanted)
            statuses.append(status)
        window.end()
        if given.statuses is not None:
            expect(f"{given.name}: statuses", statuses, given.statuses)
        return statuses

    @staticmethod
    def check_errors(given, answer, errors):
        expect(f"{given.name}: line", answer["line"], errors[0][0])
        listed = [(int(line), reason) for _, reason, line in LISTED.findall(answer["message"])]
        if given.errors is not None:
            expect(f"{given.name}: bad lines", listed, given.errors)
        # The reading's reasons are shorter where they quote something.
        expect(f"{given.name}: bad lines by the reading", [line for line, _ in listed], [line for line, _ in errors])
        for (_, said), (_, read) in zip(listed, errors, strict=True):
            expect(f"{given.name}: reason", said.split('"')[0].rstrip(), read.split("'")[0].rstrip())

    def check_lake(self, inputs):
        """What is in Parquet, bucket by bucket."""
        self.node.flush()
        found, renamed = collections.defaultdict(dict), collections.defaultdict(dict)
        for table in lake.tables(self.node.lake):
            number = int(table.bucket.removeprefix("case-"))
            for file in table.files:
                kinds = {file.original_name(field): KINDS[file.schema.field(field).type] for field in file.fields}
                renamed[number] |= file.original
                for (tags, time_ns), fields in file.rows():
                    row = found[number].setdefault((table.measurement, tags, time_ns), {})
                    row.update((field, (kinds[field], value)) for field, value in fields.items())
        for number, given in enumerate(inputs):
            rows = self.windows[number].rows
            expect(f"{given.name}: rows of ringest", rows(found.pop(number, {})), rows(self.buckets[number].rows))
            if given.renamed is not None:
                expect(f"{given.name}: columns with another name", renamed[number], given.renamed)
        expect("buckets that nobody wrote", dict(found), {})


def readable(database):
    """Rows as queries show them: names and strings that are not UTF-8 are mended, and numbers of two types look alike."""

    def value(measurement, field, kind, value):
        if kind in ("float", "integer") and {"float", "integer"} <= database.kinds(measurement, field):
            return "number", float(value)
        return kind, shown(value) if kind == "string" else value

    rows = {}
    for (measurement, tags, time_ns), fields in database.rows.items():
        tags = tuple(sorted((shown(key), shown(value)) for key, value in tags))
        row = {shown(field): value(measurement, field, *typed) for field, typed in fields.items()}
        rows[shown(measurement), tags, time_ns] = row
    return rows


def write_influxdb(server, number, given):
    """Checks what the server answers and stores; returns statuses, rows, and names of what happened that ringest does not do."""
    name, database, window = f"case-{number}", influxdb1_reading.Database(), Window(given.precision)
    server.create(name)
    statuses, names = [], set()
    for body in given.bodies:
        status, error = server.write(name, body, given.precision)
        statuses.append(status)
        if status == 500 and "invalid UTF-8" in error and database.names_not_utf8(body, given.precision):
            # The points of other shards may be written, or may not.
            return statuses, {}, {"not UTF-8"}
        wanted = database.write(body, given.precision, window.first)
        found = status, error.count("unable to parse '")
        expect(f"{given.name}: status and bad lines of InfluxDB ({error:.500})", found, wanted)
    window.end()
    rows = window.rows(server.rows(name))
    expect(f"{given.name}: rows of InfluxDB", rows, window.rows(readable(database)))
    return statuses, rows, names | {EVENTS[event] for event in database.events}


def differences(given, ringest, influxdb):
    """The names of the differences, if there is one."""
    (statuses, rows), (other_statuses, other_rows, names) = ringest, influxdb
    if statuses == other_statuses and rows == other_rows:
        return set()
    if any((a, b) == (422, 400) for a, b in zip(statuses, other_statuses, strict=True)):
        names = names | {"status of a partial write"}
    for body in given.bodies:
        names = names | explain(body, given.precision)
    if not names:
        raise Unexplained(f"{given.name}: {statuses} and {other_statuses}, {rows!r:.1000} and {other_rows!r:.1000}")
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--bodies", type=int, default=350, help="how many that are nearly right")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    inputs = [*line_inputs.cases(), *line_inputs.NearlyRight(arguments.seed).inputs(arguments.bodies)]
    counts, same = collections.Counter(), 0
    with Node(arguments.binary, "--flush-interval", "1h") as node, InfluxDB() as server:
        ringest = Ringest(node)
        for number, given in enumerate(inputs):
            statuses = ringest.write(number, given)
            rows = ringest.windows[number].rows(ringest.buckets[number].rows)
            names = differences(given, (statuses, rows), write_influxdb(server, number, given))
            counts.update(names)
            same += not names
        ringest.check_lake(inputs)
    print(f"{len(inputs)} inputs, {same} the same in InfluxDB 1.6; the others differ because of")
    for name, (there, here) in CLASSES.items():
        print(f"{counts[name]:6} {name}: {there}; ringest: {here}")
    never = CLASSES.keys() - counts.keys()
    if never:
        raise SystemExit(f"differences that never occur: {never}")


if __name__ == "__main__":
    main()
