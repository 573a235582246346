"""Counts instructions of the benches' stages and compares them with those that are stored: see scripts/count-instructions."""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
STORED = ROOT / "benches" / "instructions.toml"
# With `--counts` and `--count`; those in front are built without the lake, too.
BENCHES = ["line", "wal", "http", "encode"]
# Until the file says something else. Queueing small records scatters most, as they share a lock with the log's thread.
TOLERANCE_PERCENT = {"default": 3, "log/100-bytes": 6}
HEADER = """\
# Instructions of each stage for fixed inputs: `scripts/count-instructions --check` compares, `--update` rewrites this file.
# A change of them belongs into the commit that causes it, whose message says why (docs/PERFORMANCE.md, "Instruction counts").
"""
# Long copies by vector instructions and not by `rep movsb`, of which Valgrind counts each byte as an instruction.
NO_REP = "glibc.cpu.x86_rep_movsb_threshold=0x40000000:glibc.cpu.x86_rep_stosb_threshold=0x40000000"


class Failed(Exception):
    """With a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Count:
    """What one run has counted."""

    name: str
    units: int
    unit: str
    size: int
    instructions: int

    @property
    def each(self):
        """Instructions per unit."""
        return self.instructions / self.units

    @property
    def stage(self):
        return self.name.split("/")[0]


@dataclasses.dataclass
class Stored:
    """The file with the counts."""

    counted_with: dict
    # By name; "default" for all others.
    tolerance_percent: dict
    # Instructions per unit, by name.
    each: dict

    @classmethod
    def parse(cls, text):
        tables = tomllib.loads(text)
        counted_with, tolerance = tables.pop("counted_with"), tables.pop("tolerance_percent")
        each = {f"{stage}/{name}": each for stage, inputs in tables.items() for name, each in inputs.items()}
        return cls(counted_with, tolerance, each)

    def tolerance(self, name):
        return self.tolerance_percent.get(name, self.tolerance_percent["default"])

    def text(self, units):
        """`units` are those of each stage."""
        lines = [HEADER, "[tolerance_percent]"]
        lines += [f"{json.dumps(name) if '/' in name else name} = {percent}" for name, percent in self.tolerance_percent.items()]
        lines += ["", "# Others count differently: then --check tells, and does not fail.", "[counted_with]"]
        lines += [f"{tool} = {json.dumps(version)}" for tool, version in self.counted_with.items()]
        stage = None
        for name, each in self.each.items():
            if name.split("/")[0] != stage:
                stage = name.split("/")[0]
                lines += ["", f"[{stage}] # per {units[stage]}"]
            lines.append(f"{name.split('/')[1]} = {each:.1f}")
        return "\n".join(lines) + "\n"


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{done.stdout}{done.stderr}{' '.join(map(str, command))} has failed")
    return done.stdout


def tools():
    """The versions of what the counts depend on, beside the code."""
    return {
        "rustc": run(["rustc", "--version"], cwd=ROOT).removeprefix("rustc ").strip(),
        "cc": run([os.environ.get("CC", "cc"), "-dumpfullversion"]).strip(),
        "libc": run(["getconf", "GNU_LIBC_VERSION"]).strip(),
        "valgrind": run(["valgrind", "--version"]).removeprefix("valgrind-").strip(),
    }


def build(has_lake, is_profile):
    """The benches, by their names."""
    names = BENCHES if has_lake else BENCHES[:-1]
    environment = dict(os.environ)
    if is_profile:
        # The newer names of functions say of which types they are. Built apart, as that compiles everything anew.
        environment["RUSTFLAGS"] = f"{os.environ.get('RUSTFLAGS', '')} -C symbol-mangling-version=v0"
        environment["CARGO_TARGET_DIR"] = str(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "counted")
    features = [] if has_lake else ["--no-default-features"]
    benches = [option for name in names for option in ("--bench", name)]
    command = ["cargo", "bench", "--locked", "--no-run", "--message-format=json", *features, *benches]
    built = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        raise Failed("the benches cannot be built: see above")
    messages = (json.loads(line) for line in built.stdout.splitlines())
    paths = {message["target"]["name"]: message["executable"] for message in messages if message.get("executable")}
    return {name: paths[name] for name in names}


def count(bench, path, name, folder):
    """Performs `name` once, and counts. The callgrind output is left in `folder`."""
    output = folder / name.replace("/", "-")
    # AVX-512 is unknown to Valgrind; on every processor with AVX2 it shows programs the same one, so that all of them choose the same ways.
    kernel = ["--kernel", "avx2"] if bench == "line" else []
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", "--collect-atstart=no", "--toggle-collect=*::counted*"]
    said = run([*valgrind, path, *kernel, "--count", name], env=os.environ | {"GLIBC_TUNABLES": NO_REP})
    _, units, unit, size = said.split()
    summary = re.search(r"^summary: (\d+)", output.read_text(encoding="utf-8"), re.MULTILINE)
    if summary is None or int(summary[1]) == 0:
        raise Failed(f"nothing was counted for {name}: is there still a function `counted` that is called?")
    return Count(name, int(units), unit, int(size), int(summary[1]))


def is_wanted(name, wanted):
    return not wanted or name in wanted or any(part in wanted for part in name.split("/"))


def faults(counts, stored, is_all):
    """Sentences about what is not as stored."""
    found = []
    for count in counts:
        was = stored.each.get(count.name)
        if was is None:
            found.append(f"{count.name} takes {count.each:.1f} instructions per {count.unit}, and nothing is stored for it")
            continue
        percent = 100 * (count.each / was - 1)
        if abs(percent) > stored.tolerance(count.name):
            more = f"{abs(percent):.1f} % {'more' if percent > 0 else 'fewer'}"
            found.append(
                f"{count.name} takes {count.each:.1f} instructions per {count.unit}, stored are {was:.1f}: {more}, "
                f"and {stored.tolerance(count.name)} % either way are allowed"
            )
    for name in stored.each.keys() - {count.name for count in counts} if is_all else ():
        found.append(f"{name} is stored with {stored.each[name]:.1f} instructions, and no bench counts it any more")
    return found


def differing(now, stored):
    """The tools that are not those of the stored counts, as part of a sentence; empty if there are none."""
    return ", ".join(
        f"{tool} {now.get(tool, 'none')} instead of {stored.counted_with.get(tool, 'none')}"
        for tool in sorted(now.keys() | stored.counted_with.keys())
        if now.get(tool) != stored.counted_with.get(tool)
    )


def check(counts, stored, now, is_all):
    """Says what is wrong; the exit code."""
    found, other = faults(counts, stored, is_all), differing(now, stored)
    for fault in found:
        print(fault, file=sys.stderr)
    if other:
        print(
            f"NOT CHECKED: {other}. Counts of different tools differ, so that what is above, if anything, is no failure. To have them checked "
            "with these: scripts/count-instructions --update, with a tree whose counts are good",
            file=sys.stderr,
        )
        return 0
    if found:
        print(
            "If that is meant, store it in the same commit: scripts/count-instructions --update. Where the instructions went: "
            "scripts/count-instructions --profile NAME",
            file=sys.stderr,
        )
        return 1
    print(f"{len(counts)} counts are as stored, within the {stored.tolerance_percent['default']} % that are allowed (a few have their own)")
    return 0


def update(counts, stored, now, is_all):
    """Stores the counts; of the others, if only some were counted, what was stored."""
    if not is_all and (stored is None or differing(now, stored)):
        raise Failed("what is stored was counted with other tools, so that all of it must be counted anew: --update without names")
    each = {} if is_all else dict(stored.each)
    each |= {count.name: count.each for count in counts}
    tolerance = stored.tolerance_percent if stored else TOLERANCE_PERCENT
    units = {count.stage: count.unit for count in counts}
    if not is_all:
        units = {match[1]: match[2] for match in re.finditer(r"^\[(\w+)\] # per (\w+)$", STORED.read_text(), re.MULTILINE)} | units
    stages = list(dict.fromkeys(name.split("/")[0] for name in each))
    ordered = {name: value for stage in stages for name, value in each.items() if name.split("/")[0] == stage}
    STORED.write_text(Stored(now, tolerance, ordered).text(units), encoding="utf-8")
    print(f"{len(counts)} counts are stored in {STORED.relative_to(ROOT)}")
    return 0


def count_all(wanted, is_profile):
    has_lake = not is_profile or not wanted or any(name.startswith("parquet") for name in wanted)
    benches = build(has_lake, is_profile)
    names = [(bench, path, name) for bench, path in benches.items() for name in run([path, "--counts"]).split()]
    chosen = [entry for entry in names if is_wanted(entry[2], wanted)]
    if not chosen:
        raise Failed(f"nothing is counted by the name of {' or '.join(wanted)}; there are: {' '.join(name for _, _, name in names)}")
    print(f"{'':18} {'bytes':>9} {'units':>6} {'':8} {'instructions':>12} {'per byte':>9} {'per unit':>9}")
    counts = []
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for counted in pool.map(lambda entry: count(*entry, pathlib.Path(folder)), chosen):
            per_byte = counted.instructions / counted.size
            print(
                f"{counted.name:18} {counted.size:9} {counted.units:6} {counted.unit:8} {counted.instructions:12} {per_byte:9.2f} {counted.each:9.1f}",
                flush=True,
            )
            if is_profile:
                output = pathlib.Path(folder) / counted.name.replace("/", "-")
                print(run([ROOT / "scripts" / "callgrind-functions", output]), end="")
            counts.append(counted)
    return counts


def main(arguments):
    parser = argparse.ArgumentParser(prog="scripts/count-instructions", description="Instructions of the stages of ingest, counted by callgrind.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--profile", action="store_true", help="also the functions that take most of them")
    mode.add_argument("--check", action="store_true", help="fail if a count is not what is stored")
    mode.add_argument("--update", action="store_true", help="store the counts")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a count (columns/cpu), a stage (columns), or an input (cpu)")
    options = parser.parse_args(arguments)
    try:
        if shutil.which("valgrind") is None:
            raise Failed("there is no valgrind, which counts the instructions: 'apt-get install valgrind' brings it")
        stored = Stored.parse(STORED.read_text(encoding="utf-8")) if STORED.exists() else None
        if options.check and stored is None:
            raise Failed(f"there is no {STORED.relative_to(ROOT)} to compare with: scripts/count-instructions --update makes it")
        counts = count_all(options.names, options.profile)
        if options.check:
            return check(counts, stored, tools(), not options.names)
        if options.update:
            return update(counts, stored, tools(), not options.names)
        return 0
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
