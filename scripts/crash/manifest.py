"""Reads state/manifest as docs/FORMATS.md describes it, as far as it is whole."""

import dataclasses
import struct
import zlib

MAGIC = b"ringmani"
HEADER = struct.Struct("<8sI8sI")
RECORD = struct.Struct("<4sII")
BODY = struct.Struct("<QBQ")
MARK = b"\xf7rec"
INTENT, COMMIT, ABORT = 1, 2, 3


@dataclasses.dataclass
class Manifest:
    # Paths relative to the data directory.
    committed: set = dataclasses.field(default_factory=set)
    # By epoch: paths that an intent without commit or abort names.
    intended: dict = dataclasses.field(default_factory=dict)
    # Ends in the middle of a record.
    torn: bool = False


def read(path):
    manifest = Manifest()
    data = path.read_bytes() if path.exists() else b""
    if len(data) < HEADER.size:
        manifest.torn = bool(data)
        return manifest
    if HEADER.unpack_from(data)[0] != MAGIC:
        raise ValueError(f"{path} does not begin as a manifest")
    removes = {}
    position = HEADER.size
    while position < len(data):
        body = whole_body(data, position)
        if body is None:
            manifest.torn = True
            break
        position += RECORD.size + len(body)
        _, kind, epoch = BODY.unpack_from(body)
        if kind == INTENT:
            adds, rest = path_list(body, BODY.size)
            manifest.intended.setdefault(epoch, set()).update(adds)
            removes.setdefault(epoch, set()).update(path_list(body, rest)[0])
        elif kind == COMMIT:
            manifest.committed |= manifest.intended.pop(epoch, set())
            manifest.committed -= removes.pop(epoch, set())
        elif kind == ABORT:
            manifest.intended.pop(epoch, None)
            removes.pop(epoch, None)
    return manifest


def whole_body(data, position):
    if position + RECORD.size > len(data):
        return None
    mark, size, crc = RECORD.unpack_from(data, position)
    body = data[position + RECORD.size :][:size]
    return body if mark == MARK and len(body) == size and zlib.crc32(body) == crc else None


def path_list(body, position):
    (count,) = struct.unpack_from("<I", body, position)
    position += 4
    paths = []
    for _ in range(count):
        (size,) = struct.unpack_from("<H", body, position)
        paths.append(body[position + 2 : position + 2 + size].decode())
        position += 2 + size
    return paths, position
