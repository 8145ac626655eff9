"""Files that come from elsewhere: which are opened, and how much of them is read.

Only regular files are opened: a pipe may never end and a device has no size. A symbolic link is
followed where the caller asks for it, by an argument or within `following_links`.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from fdiff.errors import FileError, LinkRefused

MOST_JSON = 1 << 28  # bytes: a mean on 1024² nodes takes 20 MB
MOST_TOML = 1 << 20  # bytes: people write these
MOST_DEPTH = 32  # of values within values; ours have at most six
_SAVE = "save it in UTF-8"
FOLLOW = "pass --follow-links (follow_links=True) to use it all the same"

_following: ContextVar[bool] = ContextVar("following_links", default=False)


@contextmanager
def following_links(yes: bool = True) -> Iterator[None]:
    """Within it, readers without an argument of their own follow links (or do not)."""
    token = _following.set(yes)
    try:
        yield
    finally:
        _following.reset(token)


def follows(follow_links: bool | None = None) -> bool:
    """Whether links are followed: as given, or as `following_links` says where None is given."""
    return _following.get() if follow_links is None else follow_links


def regular(path: Path | str, follow_links: bool | None = None) -> Path:
    """The path, where it names a regular file.

    Raises:
        FileNotFoundError: no such file.
        LinkRefused: a symbolic link, and ``follow_links`` (`follows`) is not given.
        FileError: a folder, a pipe, a socket or a device.
    """
    path = Path(path)
    not_a_link(path, follow_links)
    kind = _kind(path)
    if kind != "a regular file":
        raise FileError(path, "", "a regular file", kind)
    return path


def not_a_link(path: Path, follow_links: bool | None = None) -> None:
    """Raises LinkRefused where ``path`` itself is a symbolic link that is not to be followed."""
    if path.is_symlink() and not follows(follow_links):
        raise LinkRefused(
            path, "", "a file of its own", f"a symbolic link to {os.readlink(path)}", FOLLOW
        )


def _kind(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file") from None
    except OSError as error:  # a loop of links, a name that is too long, no permission
        raise FileError(path, "", "a file that can be opened", _reason(error)) from None
    except ValueError:
        raise FileError(path, "", "the name of a file", "one with a null character") from None
    for test, kind in (
        (stat.S_ISREG, "a regular file"), (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"),
    ):  # fmt: skip
        if test(mode):
            return kind
    return "a device"


def _reason(error: OSError) -> str:
    return {
        "ELOOP": "a symbolic link that leads to itself", "ENAMETOOLONG": "a name that is too long",
        "EACCES": "one that you may not read", "ENOTDIR": "a way through what is no folder",
    }.get(_name(error), f"an error of the system ({_name(error)})")  # fmt: skip


def _name(error: OSError) -> str:
    import errno

    return errno.errorcode.get(error.errno or 0, "unknown")


def read_bytes(path: Path | str, most: int, follow_links: bool | None = None) -> bytes:
    """The content of a regular file of at most ``most`` bytes.

    Raises:
        FileNotFoundError, LinkRefused, FileError: see `regular`; or a larger file.
    """
    path = regular(path, follow_links)
    size = path.stat().st_size
    if size > most:
        raise FileError(path, "", f"at most {most} bytes", f"{size}")
    try:
        with open(path, "rb") as file:
            # A file that grows meanwhile must not be read without an end.
            return file.read(most)
    except PermissionError:
        raise FileError(path, "", "a file that you may read", "one without permission") from None


def read_text(path: Path | str, most: int, follow_links: bool | None = None) -> str:
    """UTF-8, with or without a byte order mark; UTF-16 with one.

    Raises:
        FileNotFoundError, LinkRefused, FileError: as `read_bytes`; or no text.
    """
    content = read_bytes(path, most, follow_links)
    encoding = "utf-8-sig"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    expected = f"text in {encoding[:6].rstrip('-').upper()}"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        found = _wide(content) or f"other bytes at {error.start}"
        raise FileError(path, "", expected, found, _SAVE) from None
    if "\0" in text:  # which is UTF-8, but in no text of TOML or JSON
        found = _wide(content) or "zero bytes, as text in another encoding has"
        raise FileError(path, "", expected, found, _SAVE)
    return text


def _wide(content: bytes) -> str:
    """What text in UTF-16 without a byte order mark is called; "" for other bytes.

    Of Latin letters every second byte is zero.
    """
    first, second = (content[place:4096:2].count(0) for place in (0, 1))
    if bool(first) == bool(second):
        return ""
    return f"UTF-16 ({'little' if second else 'big'}-endian) without a byte order mark"


def read_json(path: Path | str, finite: bool = True) -> Any:
    """The value of a JSON file of bounded size and depth.

    Raises:
        FileNotFoundError, LinkRefused, FileError: as `read_text` and `parse_json`.
    """
    return parse_json(read_text(path, MOST_JSON), path, finite=finite)


def parse_json(text: str, file: Path | str, item: str = "", finite: bool = True) -> Any:
    """The value of a JSON text that stands in a file, at ``item``.

    ``finite``: NaN and infinities, which JSON does not have, are refused.

    Raises:
        FileError: no JSON, deeper than `MOST_DEPTH`, or a number that is not finite.
    """

    def constant(name: str) -> float:
        if finite:
            raise FileError(file, item, "finite numbers", name)
        return float(name)

    def loaded() -> Any:
        return json.loads(text, parse_constant=constant)

    def place(error: ValueError) -> str:
        if isinstance(error, json.JSONDecodeError):
            return f"a mistake in line {error.lineno}, column {error.colno}"
        return "a number of too many digits"

    return _parsed(loaded, place, file, item, "JSON")


def read_toml(path: Path | str) -> dict[str, Any]:
    """The tables of a TOML file of bounded size and depth.

    Raises:
        FileNotFoundError, LinkRefused, FileError: as `read_text`; or no TOML.
    """
    text = read_text(path, MOST_TOML).replace("\r\n", "\n")

    def place(error: ValueError) -> str:
        said = re.search(r"at (line \d+, column \d+|end of document)", str(error))
        if isinstance(error, tomllib.TOMLDecodeError):
            return f"a mistake at {said[1]}" if said else "a mistake"
        return "a number of too many digits, or a date that there is not"

    return _parsed(lambda: tomllib.loads(text), place, path, "", "TOML")


def read_yaml_text(text: str, file: Path | str, item: str) -> Any:
    """The value of a YAML text that stands in a file, without references that multiply it.

    Raises:
        FileError: no YAML, deeper than `MOST_DEPTH`, or with references.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where there is one

    def loaded() -> Any:
        # Nine lines of references to references stand for a billion values.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, loader)):
            raise FileError(file, item, "YAML without references", "some")
        return yaml.load(text, loader)

    def place(error: ValueError) -> str:
        return "a number or a date that there is not"

    try:
        return _parsed(loaded, place, file, item, "YAML")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        found = f"a mistake in line {mark.line + 1}" if mark else "a mistake"
        raise FileError(file, item, "YAML", found) from None


def _parsed(
    load: Callable[[], Any], place: Callable[[ValueError], str], file, item: str, kind: str
) -> Any:
    deep = FileError(file, item, f"{kind} of at most {MOST_DEPTH} levels", "more")
    try:
        value = load()
    except FileError:
        raise
    except RecursionError:
        raise deep from None
    except ValueError as error:
        found, at = place(error), f"{file}: {item}" if item else f"{file}"
        said = f"{at} is not valid {kind}: {found}"
        raise FileError(file, item, f"text in {kind}", found, message=said) from None
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return value
    raise deep


def _inside(value: Any) -> list[Any]:
    """The tables and lists directly within a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [one for one in inner if isinstance(one, dict | list)]
