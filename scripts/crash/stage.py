"""What the campaign tells the writers, and they the campaign: a few numbers in shared memory."""

import multiprocessing
import time

QUIET_SECONDS_MAX = 90


class Stage:
    def __init__(self, clients):
        # The running node's port; 0 means: be quiet.
        self.port = multiprocessing.Value("i", 0, lock=False)
        self.life = multiprocessing.Value("i", 0, lock=False)
        # Whether buckets born in this life get a finite retention.
        self.finite = multiprocessing.Value("b", 0, lock=False)
        # Whether this life is for large bodies.
        self.heavy = multiprocessing.Value("b", 0, lock=False)
        self.ended = multiprocessing.Value("b", 0, lock=False)
        self.quiet = multiprocessing.Array("b", clients, lock=False)

    def open(self, port, life, finite, heavy):
        self.life.value, self.finite.value, self.heavy.value = life, finite, heavy
        self.port.value = port

    def close(self):
        """Asks the writers to be quiet; they finish what they are waiting for."""
        self.port.value = 0

    def wait_until_quiet(self):
        """After that no request is under way, and the journals are complete."""
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        while not all(self.quiet):
            if time.monotonic() > deadline:
                raise RuntimeError(f"writers {[index for index, quiet in enumerate(self.quiet) if not quiet]} do not come to rest")
            time.sleep(0.002)
