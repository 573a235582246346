"""Kills a node again and again while clients write to it, and compares its lake with what they were answered.

    scripts/crash-campaign BINARY [--kills N] [--seed S] [--minutes M] [--keep] [--how kill|term]

The node lives life after life in one data directory, each with other settings, and is killed (SIGKILL) under load, in recovery, in a flush,
while it publishes. Every few lives, and at the end, it is stopped cleanly and the lake is compared with the answers. Ends with 0 and one
line of summary, or with 1, the promises that were broken, and the folder with data, logs and journals. The seed fixes all choices but the timing.
"""

import argparse
import collections
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

from . import connection, manifest, readback, requests, stage, workload, writers
from .checker import Checker
from .journal import Answer, Entry, Reader
from .life import Binary, Broken, Life

CHECK_LIVES = 5
PROGRESS_SECONDS = 10
DISK_FREE_BYTES_MIN = 4 << 30
# How lives end, and how often.
ENDINGS = {
    "load": 26,
    "early": 20,
    "early, silent": 8,
    "on ready": 6,
    "flush": 12,
    "compaction": 14,
    "publication": 20,
    "publication in recovery": 14,
    "log files": 8,
    "stopping": 6,
    "early, stopping": 4,
}
# A life that is killed early and in silence is followed by up to so many more.
STREAK_MAX = 3
HEAVY_SHARE = 0.35
LOAD_SECONDS = (0.2, 4.0)
# To meet a replay while it runs: the slowest that one is likely to be.
REPLAY_BYTES_PER_SECOND = 25e6
REPLAY_SECONDS = 0.02


class Campaign:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.rng = random.Random(args.seed)
        self.binary = Binary(args.binary)
        self.signal = signal.SIGTERM if args.how == "term" else signal.SIGKILL
        self.data_dir = folder / "data"
        self.origin = int(time.time()) * 10**9 // workload.DAY_NS * workload.DAY_NS - workload.DAYS * workload.DAY_NS
        self.checker = Checker(self.data_dir, self.origin)
        (folder / "journals").mkdir()
        self.journal = Reader(folder / "journals")
        self.stage = stage.Stage(writers.CLIENTS)
        self.processes = writers.start(self.stage, folder / "journals", args.seed, self.origin)
        self.began = self.told = time.monotonic()
        self.lives = self.kills = self.points = 0
        self.streak = 0
        self.history = []
        self.ready_seconds = 0.1
        self.killed_in = collections.Counter()
        self.answers = collections.Counter()

    def run(self):
        while self.kills < self.args.kills and not self.is_late():
            for _ in range(CHECK_LIVES):
                if self.kills < self.args.kills:
                    self.killed_life()
            self.clean_life()
            self.compare()
        self.last_life()
        self.compare(last=True)
        files = readback.check(self.data_dir / "lake", self.checker.violate)
        self.progress(f"{files} files read by pyarrow and DuckDB", always=True)
        self.need_no_violation()

    def is_late(self):
        return self.args.minutes is not None and time.monotonic() - self.began > self.args.minutes * 60

    # Lives

    def start(self):
        self.lives += 1
        if shutil.disk_usage(self.folder).free < DISK_FREE_BYTES_MIN:
            raise SystemExit(f"less than {DISK_FREE_BYTES_MIN >> 30} GiB are free where {self.folder} is: the campaign would fill the disk")
        settings = self.binary.settings(self.rng)
        self.checker.finite_lives[self.lives] = settings["default-retention"] != "inf"
        return Life(self.binary, self.lives, self.data_dir, self.folder / f"log-{self.lives:03}", settings)

    def open_stage(self, life):
        heavy = self.rng.random() < HEAVY_SHARE
        self.stage.open(life.port, life.number, self.checker.finite_lives[life.number], heavy)

    def killed_life(self):
        ending = self.choose_ending()
        life = self.start()
        try:
            self.await_end(life, ending)
            doing = life.kill(self.signal)
        finally:
            self.stage.close()
            life.end()
        self.kills += 1
        during = [what for what, was in doing.items() if was]
        self.killed_in.update(during)
        sentence = f"{life} was killed ({ending}) after {time.monotonic() - life.began:.3f} s, in {'+'.join(during) or 'load'}"
        self.history.append(sentence)
        self.progress(sentence)
        self.verify_log(life)

    def choose_ending(self):
        if self.streak:
            self.streak -= 1
            return "early, silent"
        (ending,) = self.rng.choices(list(ENDINGS), list(ENDINGS.values()))
        if ending == "early, silent":
            self.streak = self.rng.randint(0, STREAK_MAX)
        return ending

    def await_end(self, life, ending):
        """Returns at the moment of the kill."""
        if ending.startswith("early"):
            self.await_early_end(life, ending)
        elif ending == "publication in recovery":
            self.meet_replay(life, silent=False)
            life.watch(self.rng.choice(["tmp", "manifest", "commit"]), 2 * self.ready_seconds + 0.2)
            self.hesitate(0.005)
            life.is_ready()
        else:
            life.wait_for_port()
            self.open_stage(life)
            life.wait_until_ready()
            self.ready_seconds = 0.7 * self.ready_seconds + 0.3 * (time.monotonic() - life.began)
            self.await_late_end(life, ending)

    def await_early_end(self, life, ending):
        rng, silent = self.rng, ending == "early, silent"
        if rng.random() < 0.7:
            replays = self.meet_replay(life, silent)
            if replays is not None:
                # Most replays are much faster than the slowest.
                time.sleep(rng.random() ** 3 * (REPLAY_SECONDS + replays / REPLAY_BYTES_PER_SECOND))
                life.is_ready()
        else:
            moment = life.began + rng.uniform(0, 1.3 * self.ready_seconds)
            while time.monotonic() < moment:
                self.look(life, silent)
        if ending == "early, stopping":
            self.begin_stop(life)

    def meet_replay(self, life, silent):
        """Waits until the node says that it replays its log, and how many bytes; None when it is ready without that."""
        while (replays := life.replays()) is None and not life.was_ready:
            self.look(life, silent)
        return replays

    def look(self, life, silent):
        """One step of the time before the node is ready, with or without clients."""
        life.need_in_time()
        if life.find_port():
            if not silent and self.stage.port.value == 0:
                self.open_stage(life)
            if not life.was_ready:
                life.is_ready()
        time.sleep(0.002)

    def await_late_end(self, life, ending):
        if ending == "on ready":
            return
        life.sleep(self.rng.uniform(*LOAD_SECONDS))
        if ending == "flush":
            life.begin_flush()
            time.sleep(self.rng.uniform(0, 0.03))
        elif ending == "compaction":
            if life.knows("compaction"):
                life.begin_compaction()
            time.sleep(self.rng.random() ** 2 * 0.5)
        elif ending in ("publication", "log files"):
            life.watch("wal" if ending == "log files" else self.rng.choice(["tmp", "manifest", "commit"]), 3.0)
            self.hesitate(0.005)
        elif ending == "stopping":
            self.begin_stop(life)

    def hesitate(self, seconds):
        """Half of the kills come at once."""
        if self.rng.random() < 0.5:
            time.sleep(self.rng.uniform(0, seconds))

    def begin_stop(self, life):
        life.begin_stop()
        time.sleep(self.rng.uniform(0, 0.1))

    def clean_life(self):
        """Recovers, sometimes takes writes, and stops."""
        life = self.start()
        try:
            life.wait_for_port()
            if self.rng.random() < 0.5:
                self.open_stage(life)
            life.wait_until_ready()
            life.sleep(self.rng.uniform(0, 1.5))
            life.need_healthy()
            # Sometimes under load, sometimes at rest.
            if self.rng.random() < 0.6:
                self.stage.close()
                self.stage.wait_until_quiet()
            if self.rng.random() < 0.5:
                life.publish()
            if life.knows("compaction") and self.rng.random() < 0.3:
                life.begin_compaction()
                life.sleep(self.rng.uniform(0, 1))
            life.stop()
        finally:
            self.stage.close()
            life.end()
        self.after_stop(life)

    def last_life(self):
        """Writes one more point to every table, so that every column shows, and publishes all."""
        life = self.start()
        try:
            life.wait_for_port()
            life.wait_until_ready()
            self.stage.wait_until_quiet()
            self.probe(life)
            life.publish()
            life.compact()
            life.need_healthy()
            life.stop()
        finally:
            life.end()
        self.after_stop(life)

    def probe(self, life):
        client = connection.Connection(life.port, writers.ANSWER_SECONDS_MAX)
        for number, (bucket, table) in enumerate(sorted(self.checker.written_tables())):
            request = requests.probe(number, life.number, bucket, table)
            body = workload.encode(request, workload.points(request, self.origin))
            status = 503
            while status == 503:
                status, _, said = client.exchange(connection.post(f"/api/v2/write?bucket={bucket.replace('/', '%2F')}", body))
            self.checker.add(Entry(request, Answer(status, None, said.decode(errors="replace"))))
        client.close()

    # Comparisons

    def verify_log(self, life):
        fault = self.binary.log_is_sound(self.data_dir)
        life.need(fault is None, f"after the kill {fault}")

    def after_stop(self, life):
        """What a clean stop leaves behind: nothing half done."""
        self.history.append(f"{life} was stopped cleanly")
        left = [path for folder in ("tmp", "quarantine") for path in (self.data_dir / folder).glob("*")]
        life.need(not left, f"after a clean stop there are files left: {left[:3]}")
        record = manifest.read(self.data_dir / "state" / "manifest")
        life.need(not record.torn and not record.intended, f"after a clean stop the manifest is not whole: epochs {sorted(record.intended)[:3]} have no commit")
        there = {str(path.relative_to(self.data_dir)) for path in (self.data_dir / "lake").rglob("*") if path.is_file()}
        odd = there ^ record.committed
        life.need(not odd, f"lake and manifest disagree about {len(odd)} files, such as {sorted(odd)[:1]}")
        self.verify_log(life)

    def compare(self, last=False):
        self.stage.wait_until_quiet()
        for entry in self.journal.news():
            self.answers[entry.answer.status] += 1
            self.checker.add(entry)
        self.points = self.checker.check(last)
        self.progress(f"{self.points} points in {len(self.checker.files)} files compared", always=True)
        self.need_no_violation()

    def need_no_violation(self):
        if self.checker.violations:
            counts = "\n".join(f"{count} times broken: {promise}" for promise, count in self.checker.broken.items())
            raise Broken("\n".join([f"After life {self.lives}:", counts, "", *self.checker.violations]))

    def report(self, broken):
        """What was broken, and what led to it."""
        lives = "\n".join(self.history)
        return f"{lives}\n\n{broken}\n\nSeed {self.args.seed}, {self.kills} kills; data, logs and journals are kept in {self.folder}"

    def progress(self, sentence, always=False):
        if always or time.monotonic() - self.told > PROGRESS_SECONDS:
            self.told = time.monotonic()
            print(f"{self.told - self.began:6.0f} s  {self.kills} kills, {self.lives} lives  {sentence}", flush=True)

    def summary(self):
        requested = ", ".join(f"{count} {'unanswered' if status == 0 else status}" for status, count in sorted(self.answers.items()))
        killed = ", ".join(f"{self.killed_in[what]} in {what}" for what in ("recovery", "flush", "publication", "compaction"))
        return f"crash campaign, seed {self.args.seed}: {self.kills} kills ({killed}) in {self.lives} lives; requests: {requested}; {self.points} points checked; no promise broken"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--kills", type=int, default=100, help="how many kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="begins no new lives after that time, although there were fewer kills")
    parser.add_argument("--keep", action="store_true", help="keeps the folder of a campaign without violations, too")
    parser.add_argument("--how", choices=["kill", "term"], default="kill", help=argparse.SUPPRESS)
    args = parser.parse_args()

    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringest-crash-"))
    campaign = Campaign(args, folder)
    try:
        campaign.run()
    except Broken as broken:
        print(campaign.report(broken), flush=True)
        return 1
    except BaseException:
        print(f"The campaign itself failed; {folder} is kept", file=sys.stderr)
        raise
    finally:
        campaign.stage.ended.value = 1
    print(campaign.summary())
    if args.keep:
        print(f"data, logs and journals are kept in {folder}")
    else:
        shutil.rmtree(folder)
    return 0
