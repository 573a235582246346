"""Everything that writes to InfluxDB writes to a node here, and meets every answer that a client can meet.

    python scripts/clients_check.py BINARY [--client NAME]... [--case NAME]...

What was stored is read from Parquet. docs/CLIENTS.md says what each client does.
"""

import environment  # noqa: F401  first of all: the packages below live there

import argparse
import concurrent.futures
import sys
import time

from clients import (
    curl,
    influx_import,
    npm_influx,
    npm_influxdb_client,
    python_influxdb,
    python_influxdb_client,
    python_questdb,
    telegraf,
    through_nginx,
    wrk,
)
from clients.nodes import Full, Guarded, Open
from clients.weather import Unexpected

CLIENTS = [
    python_influxdb,
    python_influxdb_client,
    python_questdb,
    npm_influx,
    npm_influxdb_client,
    influx_import,
    curl,
    wrk,
    telegraf,
    through_nginx,
]
NAMES = {module.__name__.removeprefix("clients."): module for module in CLIENTS}
CASES = {
    "success": Open,
    "partial_write": Open,
    "gzip": Open,
    "credentials": Guarded,
    "quota": Guarded,
    "overload": Full,
}
# A refusal for want of room takes two seconds, and some clients meet two of them.
FULL_SECONDS = 10


def check(module, case, node):
    if why := module.NOT_OFFERED.get(case):
        report(f"{module.NAME}: {case}: {why}")
        return
    begin = time.monotonic()
    getattr(module, case)(node)
    report(f"{module.NAME}: {case}: as it should be ({time.monotonic() - begin:.1f} s)")


def report(line):
    # In one piece: several report at once.
    print(line + "\n", end="", flush=True)


def fault_of(module, case, node):
    """What went wrong, or None."""
    try:
        check(module, case, node)
    except Unexpected as unexpected:
        return str(unexpected)
    except Exception as fault:
        return repr(fault)
    return None


def faults(modules, case, node):
    """What went wrong, client by client."""
    if case != "overload":
        return [fault_of(module, case, node) for module in modules]
    # All at once, because each waits for the same room.
    with concurrent.futures.ThreadPoolExecutor(len(modules)) as threads:
        try:
            running = [threads.submit(fault_of, module, case, node) for module in modules]
            concurrent.futures.wait(running, FULL_SECONDS)
        finally:
            node.relieve()
        return [one.result() for one in running]


def failures(binary, modules, cases):
    """["client: case: what went wrong"]."""
    found = []
    for kind in dict.fromkeys(CASES[case] for case in cases):
        with kind(binary) as node:
            for case in (case for case in cases if CASES[case] is kind):
                results = zip(modules, faults(modules, case, node), strict=True)
                found += [f"{module.NAME}: {case}: {fault}" for module, fault in results if fault]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--client", action="append", choices=NAMES, help="only this one (again for more)")
    parser.add_argument("--case", action="append", choices=CASES, help="only this one (again for more)")
    args = parser.parse_args()
    modules = [NAMES[name] for name in args.client or NAMES]
    found = failures(args.binary, modules, args.case or list(CASES))
    for failure in found:
        print(failure, file=sys.stderr)
    return f"{len(found)} of the checks failed" if found else None


if __name__ == "__main__":
    sys.exit(main())
