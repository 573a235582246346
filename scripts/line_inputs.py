"""Bodies of line protocol to compare readers with: the cases of tests/cases/line_cases.json, and bodies that are nearly right."""

import dataclasses
import json
import pathlib
import random

CASES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "cases" / "line_cases.json"


@dataclasses.dataclass
class Input:
    """Bodies to one bucket, one after the other."""

    name: str
    bodies: list
    precision: str = "ns"
    # Of a case: (line, reason) of the bad lines of its only body.
    errors: list = None
    # Of a case of several bodies: the status of each answer, and columns of the lake that do not have their own name.
    statuses: list = None
    renamed: dict = None


def body_of(entry):
    if "body" in entry:
        return entry["body"].encode()
    if "latin1" in entry:
        return entry["latin1"].encode("latin-1")
    return "".join(text * times for text, times in entry["pieces"]).encode()


def cases():
    for case in json.loads(CASES.read_text()):
        if "requests" in case:
            requests = case["requests"]
            bodies, statuses = [body_of(request) for request in requests], [request["status"] for request in requests]
            yield Input(case["name"], bodies, statuses=statuses, renamed=case["renamed"])
        else:
            yield Input(case["name"], [body_of(case)], case["precision"], [tuple(error) for error in case["errors"]])


NAMES = ["m", "t", "f", "a", "b", "cpu", "usage", "host", "é", "日本", "x#", '"q"', "#", "'", "1", "-1i", "time", "_field", "a b", "a,b", "a=b", 'a"b', "a\\b", "C:\\", "\\"]
PLAIN = NAMES[:11]
NUMBERS = ["1", "0", "-1", "1i", "-1i", "0i", "-0", "1.5", ".5", "1.", "1e5", "1E-5", "1e+5", "9223372036854775807i", "007i", "9007199254740993", "5e-324", "1e-400"]
ODD_VALUES = [
    "1u", "-0u", "1ii", "1I", "1e", "1.2.3", "--1", "+1", "1_0", "0x1", "1e400", "9223372036854775808i", "nan", "NaN", "inf", "tRUE", "word", "", "'a'",
    "1\"", "i", ".", "-", "1\\", "t1", "=", "==\"a\"",
]  # fmt: skip
BOOLEANS = ["t", "f", "T", "F", "true", "false", "True", "False", "TRUE", "FALSE"]
STRINGS = ["", "x", "a b", "a,b=c", "a\nb", "#", "é日", "\\\\", '\\"', "a\\nb", "\\", "\r\n", "\t", "\0", "=", ",", "a\\\\\\\"b"]
TIMES = ["1", "0", "-1", "5", "1000", "-0", "007", "9223372036854775806", "9223372036854775807", "1767225600000000000", "1x", "+1", "1.5", "-", "1 2"]
ENDS = ["\n"] * 12 + ["\r\n", " \n", "\t\n", "\n\n", "\\\n", "\r", ""]
STARTS = [""] * 14 + [" ", "\t", " \t", "\0", "# ", "\r", "#"]


class NearlyRight:
    """Bodies that follow the grammar but for a slip or two, the same for the same seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def inputs(self, count):
        for number in range(count):
            yield Input(f"nearly right {number}", [self.body()], self.random.choice(["ns"] * 6 + ["us", "ms", "s", "m", "h"]))

    def rarely(self, one_in):
        return self.random.randrange(one_in) == 0

    def body(self):
        text = "".join(self.line() for _ in range(self.random.choice([1, 1, 2, 3])))
        body = text.encode()
        if self.rarely(25) and body:
            at = self.random.randrange(len(body))
            body = body[:at] + bytes([self.random.choice(b"\xff\x80\xc3\0\r\t \\\",=\n#")]) + body[at:]
        return body

    def line(self):
        tags = "".join(f",{self.name(',= ')}={self.name(',= ')}" for _ in range(self.random.choice([0, 0, 1, 2])))
        fields = ",".join(f"{self.name(',= ')}={self.value()}" for _ in range(self.random.choice([1, 1, 2, 3])))
        time = " " + self.random.choice(TIMES[:9] if self.rarely(3) else TIMES) if self.rarely(2) else ""
        line = f"{self.name(', ')}{tags} {fields}{time}"
        if self.rarely(12):
            at = self.random.randrange(len(line) + 1)
            line = line[:at] + self.random.choice([",", "=", " ", '"', "\\", "\n", "\t", "#"]) + line[at:]
        if self.rarely(20) and line:
            at = self.random.randrange(len(line))
            line = line[:at] + line[at + 1 :]
        return self.random.choice(STARTS) + line + self.random.choice(ENDS)

    def name(self, special):
        name = self.random.choice(PLAIN if self.rarely(3) else NAMES) if self.rarely(2) else self.random.choice(PLAIN)
        # Mostly escaped as it should be.
        return name if self.rarely(16) else "".join("\\" + letter if letter in special else letter for letter in name)

    def value(self):
        kind = self.random.randrange(16)
        if kind < 6:
            return self.random.choice(NUMBERS)
        if kind < 8:
            return self.random.choice(BOOLEANS)
        if kind < 10:
            return self.random.choice(ODD_VALUES)
        text = "".join(self.random.choice(STRINGS) for _ in range(self.random.randrange(3)))
        end = self.random.choice(['"'] * 12 + ["", '"x', '""y"', '"\t'])
        return f'"{text}{end}'
