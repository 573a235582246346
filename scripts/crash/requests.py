"""Chooses what a client sends next."""

import time

from . import workload
from .workload import DAYS, NEVER, Request, fingerprint

CLIENT_STEP = 64
PROBE_CLIENT = 63
BUCKETS = ["main", "main", "main", "main", "side/rp"]
# A new bucket comes up every so many lives, and with it the retention of that life.
BUCKET_LIVES = 6
# The tables that take turns for births, so that none gets too many columns.
RACE_LIVES = 8
RACE_SECONDS = 0.15
RACE_SHARE = 0.04
KINDS = ["float", "integer", "unsigned", "boolean", "string"]
BAD_LINES = ["u0 v=", "u0,c v=1", "u0 v=1 12x", "u0", 'u0 s="open', "u0,c=1,c=2 v=1", "u0 v=1i2", "u0 v=1e999", ",c=1 v=1", "u0 v=9223372036854775808i"]
PADS = [2 << 10, 64 << 10, 300 << 10, 900 << 10]


class Numbers:
    """Numbers for requests, slots of time for their points."""

    def __init__(self, client):
        self.client = client
        self.count = 0
        self.slot = 0

    def number(self):
        self.count += 1
        return self.count * CLIENT_STEP + self.client

    def slots(self, size):
        first = self.slot
        self.slot += size
        return first


class Points:
    """A client that writes unique points: sound, to be dropped, malformed, and contested."""

    def __init__(self, client, rng):
        self.client, self.rng = client, rng
        self.numbers = Numbers(client)
        # Tables that hold a sound point of this client for certain, so that the types of their fields are fixed.
        self.primed = set()
        self.raced = 0

    def next(self, life, finite, heavy):
        rng = self.rng
        if rng.random() < RACE_SHARE:
            slot = int(time.monotonic() / RACE_SECONDS) + 1
            if slot != self.raced:
                self.raced = slot
                return self.race(life, slot)
        weights = {self.sound: 60, self.mix: 22, self.refused: 6, self.bad: 8, self.bulk: 60 if heavy else 1}
        if finite:
            weights[self.ghost] = 4
        (kind,) = rng.choices(list(weights), list(weights.values()))
        return kind(life)

    def told(self, request, answer):
        # Only where every point was kept: a fault may have been the only point of its table.
        if answer.status == 204 and request.kind == "points":
            self.primed.update((request.bucket, table) for table, _ in request.extra["places"][: request.size])

    def request(self, kind, life, bucket, size, extra):
        rng = self.rng
        precision = rng.choice(list(workload.UNIT_NS))
        start = self.numbers.slots(size)
        if precision == "s" and start + size > workload.SLOTS_MAX:
            precision = "ms"
        sending = [way for way, share in (("gzip", 0.3), ("chunked", 0.1), ("v2", 0.3)) if rng.random() < share]
        return Request(self.numbers.number(), kind, self.client, life, bucket, precision, start, size, extra, sending)

    def bucket(self, life):
        return self.rng.choice([*BUCKETS, f"b{life // BUCKET_LIVES}"])

    def size(self):
        chance = self.rng.random()
        if chance < 0.6:
            return 1
        if chance < 0.9:
            return self.rng.randint(2, 12)
        if chance < 0.996:
            return self.rng.randint(13, 120)
        return self.rng.randint(800, 3000)

    def places(self, most=3):
        """One (table, day) or several."""
        rng = self.rng
        day = rng.randrange(DAYS)
        made = [[f"u{rng.randrange(2)}", day]]
        if most > 1 and rng.random() < 0.4:
            made.append(rng.choice([["u0", (day + 1) % DAYS], ["u1", day], ["u1", (day + 1) % DAYS]]))
        if most > 2 and rng.random() < 0.1:
            made.append(["u2", (day + 2) % DAYS])
        return made

    def sound(self, life):
        places = self.places()
        size = self.size() if len(places) == 1 else max(self.size(), len(places))
        return self.request("points", life, self.bucket(life), size, {"places": places})

    def bulk(self, life):
        size = self.rng.randint(1, 4)
        return self.request("bulk", life, "main", size, {"places": [["bulk", self.rng.randrange(DAYS)]], "pad": self.rng.choice(PADS)})

    def mix(self, life):
        """Sound points and some that must be dropped, among them ones that no later life may let in."""
        rng, bucket = self.rng, self.bucket(life)
        size, places = rng.choice([2, 3, 5, 8, 13, 40, 200]), self.places()
        if any((bucket, table) not in self.primed for table, _ in places):
            return self.request("points", life, bucket, size, {"places": places})
        choices = ["conflict", "conflict-tag", "old", "time", "time-only"]
        faults = {index: rng.choice(choices) for index in rng.sample(range(size), rng.randint(1, max(1, size // 2)))}
        if rng.random() < 0.02:
            faults[rng.randrange(size)] = "long"
        return self.request("mix", life, bucket, size, {"places": places, "faults": sorted(faults.items())})

    def refused(self, life):
        """A request that keeps none of its points."""
        rng, bucket, places = self.rng, self.bucket(life), self.places()
        size = rng.choice([1, 1, 2, 5, 30])
        if any((bucket, table) not in self.primed for table, _ in places):
            return self.request("points", life, bucket, size, {"places": places})
        return self.request("mix", life, bucket, size, {"places": places, "faults": [[i, rng.choice(["conflict", "time-only"])] for i in range(size)]})

    def ghost(self, life):
        """Nothing but points beyond the retention, which bear nothing: neither bucket nor table nor column may come of them."""
        size = self.rng.choice([1, 2, 9])
        places = [[f"{NEVER}{life}", self.rng.randrange(DAYS)]]
        return self.request("ghost", life, f"{NEVER}{life}", size, {"places": places, "faults": [[index, "ghost"] for index in range(size)]})

    def bad(self, life):
        rng = self.rng
        size, places = self.size(), self.places()
        bucket = self.bucket(life) if rng.random() < 0.8 else f"{NEVER}-bad{life}"
        if rng.random() < 0.2:
            places.append([f"{NEVER}-bad{life}", 0])
        extra = {"places": places, "faults": [[rng.randrange(size), "bad"]], "broken": rng.randrange(size), "line": rng.choice(BAD_LINES)}
        request = self.request("bad", life, bucket, size, extra)
        if "gzip" in request.sending and rng.random() < 0.3:
            extra["torn"] = True
        return request

    def race(self, life, slot):
        """A birth at the same moment as the other clients' with the same slot. What is contested depends on the slot only."""
        rng = self.rng
        choice = fingerprint(f"race {slot}")
        table, name, bears = f"race{life // RACE_LIVES}", f"x{slot}", "field"
        match choice % 10:
            case 0:
                table, name = f"t{slot}", "val"
            case 1:
                bears = rng.choice(["tag", "field"])
            case 2:
                name = rng.choice([f"Case{slot}", f"case{slot}", f"CASE{slot}"])
            case 3:
                bears = "tag"
        kinds = KINDS if choice % 3 else KINDS[:2]
        count = rng.choice([1, 1, 1, 2, 3])
        births = [[name, bears, rng.choice(kinds)] for _ in range(count)]
        if rng.random() < 0.1:
            births.append([f"y{slot}", "field", rng.choice(kinds)])
        sound = rng.choice([0, 0, 1, 4, 20])
        moment = slot * RACE_SECONDS
        extra = {"table": table, "day": choice % DAYS, "births": births, "places": self.places(), "moment": moment}
        return self.request("race", life, "main", len(births) + sound, extra)


class Registers:
    """A client that overwrites its own few points again and again, some fields at a time."""

    KEYS = 4
    TABLES = ["reg0", "reg1"]

    def __init__(self, client, rng):
        self.client, self.rng = client, rng
        self.numbers = Numbers(client)
        self.lines = 0

    def next(self, life, _finite, _heavy):
        rng = self.rng
        lines = [self.line() for _ in range(rng.choice([1, 1, 1, 2, 3, 6]))]
        precision = rng.choice(list(workload.UNIT_NS))
        sending = [way for way, share in (("gzip", 0.2), ("chunked", 0.1), ("v2", 0.2)) if rng.random() < share]
        return Request(self.numbers.number(), "registers", self.client, life, "main", precision, 0, len(lines), {"lines": lines}, sending)

    def line(self):
        rng = self.rng
        self.lines += 1
        which = rng.randrange(self.KEYS)
        fields = rng.sample(workload.REGISTER_FIELDS, rng.randint(1, len(workload.REGISTER_FIELDS)))
        return [self.TABLES[which % 2], f"{self.client}-{which}", which // 2, fields, self.lines]

    def told(self, _request, _answer):
        pass


def probe(number, life, bucket, table):
    """A last sound point for a table, so that its newest file shows every column that was ever born."""
    return Request(number * CLIENT_STEP + PROBE_CLIENT, "probe", PROBE_CLIENT, life, bucket, "ns", number, 1, {"places": [[table, 0]]})
