"""What is done to a file, by the kind of file: each damage is a function of (file, chance)."""

from __future__ import annotations

import os
import random
import shutil
import socket
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Damage:
    """What was done, in words.

    ``keeps``: the values are those of the undamaged file. ``forbidden``: why nobody may accept the
    file as it is, "" where it may still be sound.
    """

    what: str
    keeps: bool = False
    forbidden: str = ""


Damager = Callable[[Path, random.Random], Damage]


def flip(path: Path, chance: random.Random) -> Damage:
    """Single bits or whole bytes, more often near the beginning, where the structure stands."""
    content = bytearray(path.read_bytes())
    count = chance.choice((1, 1, 2, 8, 64))
    reach = chance.choice((64, 1024, len(content), len(content)))
    places = [chance.randrange(max(1, min(reach, len(content)))) for _ in range(count)]
    for place in places:
        if content:
            content[place] ^= 1 << chance.randrange(8) if chance.random() < 0.5 else 0xFF
    path.write_bytes(content)
    return Damage(f"{count} bytes flipped, the first at {places[0]}")


def cut(path: Path, chance: random.Random) -> Damage:
    content = path.read_bytes()
    end = chance.choice(
        (chance.randrange(len(content) + 1), chance.randrange(min(64, len(content)) + 1))
    )
    path.write_bytes(content[:end])
    return Damage(f"cut to {end} of {len(content)} bytes")


def extend(path: Path, chance: random.Random) -> Damage:
    more = chance.choice((b"\0" * 512, chance.randbytes(100), path.read_bytes()[:4096]))
    with path.open("ab") as file:
        file.write(more)
    return Damage(f"{len(more)} bytes appended")


def blot(path: Path, chance: random.Random) -> Damage:
    """A block of the disk that was lost: zeros, ones or what another block holds."""
    content = bytearray(path.read_bytes())
    size = min(chance.choice((16, 512, 4096)), len(content))
    begin, other = (chance.randrange(len(content) - size + 1) for _ in range(2))
    kind = chance.choice(("zeros", "ones", "another block"))
    content[begin : begin + size] = {
        "zeros": b"\0" * size,
        "ones": b"\xff" * size,
        "another block": bytes(content[other : other + size]),
    }[kind]
    path.write_bytes(content)
    return Damage(f"{size} bytes at {begin} became {kind}")


def shift(path: Path, chance: random.Random) -> Damage:
    content = path.read_bytes()
    place = chance.randrange(len(content) + 1)
    count = chance.choice((1, 4, 100))
    inside = chance.random() < 0.5
    changed = (
        content[:place]
        + (chance.randbytes(count) if inside else b"")
        + content[place + (0 if inside else count) :]
    )
    path.write_bytes(changed)
    return Damage(f"{count} bytes {'inserted' if inside else 'left out'} at {place}")


BYTES: tuple[Damager, ...] = (flip, flip, cut, extend, blot, shift)


def to_fifo(path: Path, chance: random.Random) -> Damage:
    path.unlink()
    os.mkfifo(path)
    return Damage("a named pipe without a writer", forbidden="it is a pipe")


def to_device(path: Path, chance: random.Random) -> Damage:
    device = chance.choice(("/dev/zero", "/dev/urandom", "/dev/null", "/dev/stdin"))
    path.unlink()
    path.symlink_to(device)
    return Damage(f"a link to {device}", forbidden="it is a device")


def to_folder(path: Path, chance: random.Random) -> Damage:
    path.unlink()
    path.mkdir()
    return Damage("a folder", forbidden="it is a folder")


def to_nothing(path: Path, chance: random.Random) -> Damage:
    path.unlink()
    return Damage("removed", keeps=True)


def to_empty(path: Path, chance: random.Random) -> Damage:
    path.write_bytes(b"")
    return Damage("empty")


def to_socket(path: Path, chance: random.Random) -> Damage:
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)
    return Damage("a socket", forbidden="it is a socket")


def surroundings(path: Path) -> Path:
    """The folder beside the input's own, which nobody may read or write."""
    (case,) = (above.parent for above in path.parents if above.name == "in")
    return case / "outside"


def to_link_outside(path: Path, chance: random.Random) -> Damage:
    target = surroundings(path) / ("moved-" + path.name)
    shutil.move(path, target)
    path.symlink_to(target)
    return Damage("a symbolic link to the file outside", keeps=True, forbidden="it is a link")


def to_loop(path: Path, chance: random.Random) -> Damage:
    path.unlink()
    path.symlink_to(path.name)
    return Damage("a symbolic link to itself", forbidden="it is a link to itself")


def to_endless(path: Path, chance: random.Random) -> Damage:
    """A file of holes: nothing on the disk, and more than any memory."""
    os.truncate(path, 1 << 40)
    return Damage("a file of one terabyte, nearly all of it holes")


FILES: tuple[Damager, ...] = (
    to_fifo, to_device, to_folder, to_nothing, to_empty, to_socket, to_link_outside, to_loop,
    to_endless,
)  # fmt: skip


@lru_cache
def gzip_of_zeros(header: bytes, megabytes: int) -> bytes:
    """A gzip stream of ``header`` and that many megabytes of zeros: a thousandth of it in size."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [squeeze.compress(header)]
    parts += [squeeze.compress(b"\0" * (1 << 20)) for _ in range(megabytes)]
    return b"".join([*parts, squeeze.flush()])


def bomb(path: Path, chance: random.Random) -> Damage:
    """Images whose compressed file is small and whose content is not."""
    rows = chance.choice((48, 1 << 15))
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (rows, 28, 28))
    path.write_bytes(gzip_of_zeros(header, 1500))
    return Damage(f"a gzip file of 1500 MB of zeros that declares {rows} images")


def idx_header(path: Path, chance: random.Random) -> Damage:
    """Another type, number of axes or length in the header of an IDX file, gzipped or not."""
    import gzip

    raw = path.read_bytes()
    packed = raw[:2] == b"\x1f\x8b"
    content = bytearray(gzip.decompress(raw) if packed else raw)
    place = chance.randrange(min(16, len(content)))
    value = chance.choice((0, 1, 3, 7, 0x0D, 0x7F, 0xFF))
    content[place] = value
    path.write_bytes(gzip.compress(bytes(content), mtime=0) if packed else bytes(content))
    return Damage(f"byte {place} of the header became {value}")


IMAGES: tuple[Damager, ...] = (*BYTES, idx_header, idx_header, idx_header, bomb)
