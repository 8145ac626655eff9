"""Many damaged inputs, each in a process of its own with limits, and what came of them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import resource
import select
import shutil
import signal
import stat
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from . import subjects, uses
from .damage import FILES, Damage
from .structure import HDF5
from .uses import use

SECONDS = 20  # of the processor, for one input
WALL = 20  # seconds until an input that uses no processor is a hang
MEMORY = 1 << 30  # bytes above what the libraries have at the start
BEYOND = ("hangs", "dies of signal 11", "dies of signal 6", "dies of signal 7", "dies of signal 8")
FILE_SHARE = 0.08  # of the inputs whose file becomes a pipe, a device, a folder, ...


@dataclass(frozen=True)
class Outcome:
    """What came of one input: its verdict is "accepted", "clear" or "other"."""

    index: int
    subject: str
    damage: str
    verdict: str
    said: str
    seconds: float


class Campaign:
    """Inputs ``(seed, index)``; the same pair is the same input, whatever else is run."""

    def __init__(self, seed: int, folder: Path | None = None):
        self.seed = seed
        self._own = tempfile.TemporaryDirectory() if folder is None else None
        self.folder = Path(self._own.name) if self._own else Path(folder or ".")
        self.sound = self.folder / "sound"
        self.subjects = subjects.prepare(self.sound)
        self._import_all()

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own:
            self._own.cleanup()

    def _import_all(self) -> None:
        """Libraries, kernels and caches are loaded once, before any input is met."""
        import torch

        torch.set_num_threads(1)
        for subject in {s.main: s for s in self.subjects}.values():
            place = self._lay_out(self.folder / "warm", subject)
            here = Path.cwd()
            os.chdir(place)
            try:
                for call in subject.uses:
                    with contextlib.redirect_stderr(io.StringIO()):
                        main = Path("in") / subject.main
                        verdict, said = use(call, main, self.sound, subject.target)
                    if verdict != "accepted":
                        raise RuntimeError(f"{subject.name} is not sound: {call.__name__}: {said}")
            finally:
                os.chdir(here)
                shutil.rmtree(place)

    def _lay_out(self, place: Path, subject: subjects.Subject) -> Path:
        """A folder with the subject in ``in`` and strangers' files in ``outside``."""
        shutil.rmtree(place, ignore_errors=True)
        (place / "in").mkdir(parents=True)
        subjects.outside(place / "outside")
        for name in dict.fromkeys((subject.main, *subject.parts, subject.target)):
            source, target = self.sound / name, place / "in" / name
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif source.exists() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        return place

    def chosen(self, index: int) -> tuple[random.Random, subjects.Subject]:
        """The source of all choices for an input, and the first of them."""
        chance = random.Random(f"{self.seed}:{index}")
        (subject,) = chance.choices(self.subjects, [s.weight for s in self.subjects])
        return chance, subject

    def make(self, index: int, place: Path) -> tuple[subjects.Subject, Damage]:
        """The input of that index, in ``place``."""
        chance, subject = self.chosen(index)
        self._lay_out(place, subject)
        ways = FILES if chance.random() < FILE_SHARE else subject.ways
        damage = chance.choice(ways)(place / "in" / subject.target, chance)
        # What goes on from damaged remains may take what is sound of them, and make the rest.
        return subject, replace(damage, forbidden="") if subject.mends else damage

    def outcomes(self, indices: Iterable[int], subject: str = "") -> Iterator[Outcome]:
        """Of the inputs of these indices whose subject's name has that beginning."""
        for index in indices:
            if self.chosen(index)[1].name.startswith(subject):
                yield self.outcome(index)

    def outcome(self, index: int) -> Outcome:
        """Makes the input of that index and uses it in a child."""
        place = self.folder / "case"
        begin = time.monotonic()
        try:
            subject, damage = self.make(index, place)
            before = _surroundings(place)
            found = _in_child(subject, place, self.sound)
            if subject.ways is HDF5 and found[-1][2] in BEYOND:
                # What HDF5 itself does not come back from is said by the command that looks first.
                found = _in_child(replace(subject, uses=(uses.examine,)), place, self.sound)
            after = _surroundings(place)
            verdict, said = _judged(found, damage)
            if before != after:
                changed = sorted({*before.items()} ^ {*after.items()})[0][0]
                verdict, said = "other", f"wrote outside its folder: {changed}"
            return Outcome(index, subject.name, damage.what, verdict, said,
                           round(time.monotonic() - begin, 3))  # fmt: skip
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _judged(found: list[tuple[str, str, str]], damage: Damage) -> tuple[str, str]:
    """One verdict of all uses of an input: the worst."""
    for name, verdict, said in found:
        if verdict == "other":
            return "other", f"{name}: {said}"
    accepted = [name for name, verdict, _ in found if verdict == "accepted"]
    if damage.forbidden and len(accepted) == len(found):
        return "other", f"accepted by {', '.join(accepted)}, although {damage.forbidden}"
    if found[0][1] == "accepted":
        return "accepted", ", ".join(accepted)
    return "clear", found[0][2]


def _in_child(subject: subjects.Subject, place: Path, sound: Path) -> list[tuple[str, str, str]]:
    """The verdict of every use, from a child that may hang, die or ask for too much."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(readable)
            _limit()
            os.chdir(place)
            said = os.open("said", os.O_CREAT | os.O_WRONLY)
            null = os.open(os.devnull, os.O_RDONLY)
            for source, number in ((null, 0), (said, 1), (said, 2)):
                os.dup2(source, number)
            with os.fdopen(writable, "w") as pipe:
                for call in subject.uses:
                    verdict = use(call, Path("in") / subject.main, sound, Path(subject.target).name)
                    pipe.write(json.dumps([call.__name__, *verdict]) + "\n")
                    pipe.flush()
                    if verdict[0] == "other":
                        break
        except BaseException:
            traceback.print_exc()
            os._exit(99)
        os._exit(0)
    os.close(writable)
    text, hung = _received(readable, WALL)
    if hung:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    found: list[tuple[str, str, str]] = []
    for line in text.splitlines():
        name, verdict, said = json.loads(line)
        found.append((name, verdict, said))
    if hung or status:
        at = subject.uses[min(len(found), len(subject.uses) - 1)].__name__
        ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        slow = hung or ended == signal.SIGXCPU
        what = (
            "hangs" if slow else f"dies of signal {ended}" if ended else f"ends with {status >> 8}"
        )
        found.append((at, "other", what))
    return found


def _limit() -> None:
    with open("/proc/self/statm") as file:
        present = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (present + MEMORY, present + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _received(descriptor: int, seconds: float) -> tuple[str, bool]:
    """What the child wrote until it ended, and whether it did not end in time."""
    end, parts = time.monotonic() + seconds, []
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                return b"".join(parts).decode(), True
            part = pipe.read(65536)
            if not part:
                return b"".join(parts).decode(), False
            parts.append(part)


def _surroundings(place: Path) -> dict[str, str]:
    """Everything in an input's surroundings but the input itself: names and contents."""
    found = {}
    for path in sorted([*place.glob("*"), *(place / "outside").rglob("*")]):
        name = str(path.relative_to(place))
        if name in ("in", "said"):
            continue
        mode = path.lstat().st_mode
        found[name] = f"{stat.S_IFMT(mode)} {digest(path)}"
    return found


def digest(path: Path) -> str:
    """The content of a regular file that is not enormous, by its digest; "" of anything else."""
    if not stat.S_ISREG(path.lstat().st_mode) or path.stat().st_size >= 1 << 26:
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def counted(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Figures of a campaign: verdicts by subject, and the kinds of what is neither."""
    table: dict[str, Counter] = {}
    kinds: Counter = Counter()
    everything = list(outcomes)
    for one in everything:
        group = one.subject.split(":")[0].split(".")[0]
        table.setdefault(group, Counter())[one.verdict] += 1
        if one.verdict == "other":
            kinds[kind_of(one.said)] += 1
    total = Counter(one.verdict for one in everything)
    return {
        "inputs": len(everything),
        **{verdict: total[verdict] for verdict in ("accepted", "clear", "other")},
        "ends HDF5": sum(
            (one.verdict == "clear" and "HDF5 goes round" in one.said)
            or "ends HDF5 itself" in one.said
            for one in everything
        ),
        "kinds": dict(kinds),
        "others": [asdict(one) for one in everything if one.verdict == "other"],
        "by_subject": {name: dict(counts) for name, counts in sorted(table.items())},
    }


def kind_of(said: str) -> str:
    """The kind of an outcome that is neither accepted nor clear."""
    for sign, kind in (
        ("hangs", "hangs"), ("MemoryError", "asks for too much memory"), ("dies", "crashes"),
        ("wrote outside", "writes outside its folder"), ("wrong values", "wrong values"),
        ("although", "accepted although damaged"), ("raw exception", "a raw exception"),
        ("not named", "does not name the file"),
    ):  # fmt: skip
        if sign in said:
            return kind
    return "another library's words"


def as_json(outcome: Outcome) -> str:
    return json.dumps(asdict(outcome))
