"""The Python package questdb over HTTP. It cannot name a database: nginx stands in front and adds one to the URL."""

import contextlib
import time

from questdb.ingress import IngressError, Sender, TimestampNanos

from clients.weather import CONFLICT, GOOD_PART, PLACE, STRING, TIME, expect, expect_in, expect_stored, refusal
from nginx import Nginx, Way

NAME = "questdb (Python), db= added by nginx"
NOT_OFFERED = {"gzip": "the package does not compress"}


@contextlib.contextmanager
def in_front(node, database):
    """As docs/CLIENTS.md shows it: whatever is asked for, db= goes with it."""
    directives = f"rewrite ^/write$ /write?db={database} break;"
    with Nginx(node, directives, [Way("1.1", "on")]) as nginx:
        yield nginx


def sender(nginx, **options):
    settings = {"protocol_version": 1, "auto_flush": "off", "retry_timeout": 0} | options
    return Sender.from_conf(f"http::addr=127.0.0.1:{nginx.port};" + "".join(f"{key}={value};" for key, value in settings.items()))


def write(nginx, *rows, **options):
    with sender(nginx, **options) as client:
        for place, columns, at in rows:
            client.row("weather", symbols={"place": place}, columns=columns, at=TimestampNanos(at))
        client.flush()


def success(node):
    with in_front(node, "questdb") as nginx:
        rows = [
            (PLACE, {"degrees": 21.5, "count": 2**63 - 1, "open": True, "note": STRING}, TIME),
            ("東京", {"degrees": -0.25, "open": False}, TIME + 1),
        ]
        write(nginx, *rows)
        # Which protocol to speak it finds out at /settings, which is not there: the text protocol.
        write(nginx, ("auto", {"degrees": 1.0}, TIME + 2), protocol_version="auto")
    expected = [
        (TIME, PLACE, 21.5, 2**63 - 1, True, STRING),
        (TIME + 1, "東京", -0.25, None, False, None),
        (TIME + 2, "auto", 1.0, None, None, None),
    ]
    expect_stored(node, "questdb", expected, 'place, degrees, "count", open, note')
    # Without the database there is a sentence that says what is missing.
    refused = refusal(IngressError, write, node, ("a", {"degrees": 1.0}, TIME))
    expect_in("the client is told", str(refused), "missing db")


def partial_write(node):
    rows = [("a", {"degrees": 1.0}, TIME), ("b", {"degrees": "warm"}, TIME), ("c", {"degrees": 3.0}, TIME)]
    with in_front(node, "questdb_partial") as nginx:
        refused = refusal(IngressError, write, nginx, *rows)
    expect_in("the client is told", str(refused), CONFLICT, "dropped=1")
    expect_stored(node, "questdb_partial", GOOD_PART)


def credentials(node):
    row = ("a", {"degrees": 1.0}, TIME)
    writer, elsewhere = node.tokens["writer"], node.tokens["elsewhere"]
    with in_front(node, "questdb_guarded") as nginx:
        expect_in("without credentials", str(refusal(IngressError, write, nginx, row)), "403")
        expect_in("with an unknown token", str(refusal(IngressError, write, nginx, row, token="any")), "401")
        expect_in("with a token for another bucket", str(refusal(IngressError, write, nginx, row, token=elsewhere)), "401")
        write(nginx, row, token=writer)
        write(nginx, ("b", {"degrees": 2.0}, TIME), username="any", password=writer)
    expect_stored(node, "questdb_guarded", [(TIME, "a", 1.0), (TIME, "b", 2.0)])


def quota(node):
    token = node.metered()
    rows = [("a", {"degrees": 1.0, "note": "x" * 1000}, TIME + number) for number in range(8)]
    with in_front(node, "questdb_quota") as nginx:
        write(nginx, *rows, token=token)
        expect_in("over its quota it reports", str(refusal(IngressError, write, nginx, *rows, token=token)), "quota")


def overload(node):
    """It tries again until there is room."""
    row = ("a", {"degrees": 1.0}, TIME)
    with in_front(node, "questdb_overload") as nginx:
        begin = time.monotonic()
        write(nginx, row, retry_timeout=60_000)
        expect("it waited for room", time.monotonic() - begin > 2, True)
    node.wait_for_room()
    expect_stored(node, "questdb_overload", [(TIME, "a", 1.0)])
