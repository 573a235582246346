"""Registers: points that one client each overwrites again and again, some fields at a time. Every value shows the client's count of
register lines, so later values are greater, and each of them tells which request wrote it.

At the end a field shows its last acknowledged value, or a later one that was not answered. Read in the order of the files, which is the
order in which a reader merges them, a field only grows; and a request that shows anywhere shows everywhere, unless overwritten.
"""

import collections
import itertools

from . import workload


class Registers:
    def __init__(self, origin, violate):
        self.origin, self.violate = origin, violate
        # (bucket, table, key, field) -> [(count, entry)], in the order of writing.
        self.written = collections.defaultdict(list)
        # The same key -> {(file's order, file's path): count}.
        self.shown = collections.defaultdict(dict)
        # (bucket, table, key) -> time.
        self.times = {}

    def add(self, entry):
        request = entry.request
        if request.kind != "registers":
            return
        for table, key, day, fields, count in request.extra["lines"]:
            self.times[request.bucket, table, key] = workload.register_time(day, self.origin)
            for field in fields:
                self.written[request.bucket, table, key, field].append((count, entry))

    def read(self, file, tags, time, fields):
        """A row of the lake."""
        names = dict(tags)
        register = (file.bucket, file.measurement, names.get("k"))
        if len(names) != 1 or self.times.get(register) != time or not fields or not fields.keys() <= set(workload.REGISTER_FIELDS):
            self.violate("nothing is there that was not written", f"{file.path} holds {tags} {time} {fields}, which nobody wrote")
            return
        for field, value in fields.items():
            self.shown[*register, field][file.order, file.path] = workload.register_count(field, value)

    def values_found(self):
        return sum(len(shown) for shown in self.shown.values())

    def judge(self):
        finals = {}
        seen = set()
        for register, written in self.written.items():
            shown = sorted(self.shown[register].items())
            finals[register] = shown[-1][1] if shown else 0
            seen |= self.judge_field(register, dict(written), shown)
        for register, written in self.written.items():
            self.judge_wholeness(register, written, finals, seen)

    def judge_field(self, register, written, shown):
        """Returns the numbers of the requests that it shows."""
        for (_, path), count in shown:
            if count not in written:
                self.violate("nothing is there that was not written", f"{path} shows count {count} in register {register}, which nobody wrote")
        for ((_, earlier), a), ((_, later), b) in itertools.pairwise(shown):
            if a >= b:
                what = "applied twice" if a == b else "stale"
                self.violate("the later write wins", f"register {register} is {what}: count {a} in {earlier}, then {b} in {later}; {written.get(b)}")
        final = shown[-1][1] if shown else 0
        acknowledged = max((count for count, entry in written.items() if entry.acknowledged), default=0)
        if final < acknowledged:
            where = shown[-1][0][1] if shown else "no file"
            self.violate(
                "the last acknowledged value is there",
                f"register {register} is stale: it shows count {final}, in {where}, but {acknowledged} was acknowledged: {written[acknowledged]}",
            )
        return {written[count].request.number for _, count in shown if count in written}

    def judge_wholeness(self, register, written, finals, seen):
        """A request that is seen elsewhere must have passed here, too."""
        for count, entry in reversed(written):
            if count <= finals[register]:
                return
            if entry.unknown and entry.request.number in seen:
                self.violate(
                    "an unanswered request is there wholly or not at all",
                    f"register {register} shows count {finals[register]} and not {count}, though other values of its request are there: {entry}",
                )
