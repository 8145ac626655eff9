"""The campaign of damaged files: fdiff meets 500 of them in its own words, or it is seen."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fuzz import campaign, subjects, uses
from fuzz.damage import Damage

REPOSITORY = Path(__file__).parents[1]
COUNT, PARTS = 500, 2


def started(first: int, count: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.fuzz", "--json", "--seed", "0"]
    return subprocess.Popen(
        [*command, "--first", str(first), "--count", str(count)],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
    )  # fmt: skip


def test_five_hundred_damaged_inputs_are_accepted_as_written_or_refused_in_plain_words():
    share = COUNT // PARTS
    parts = [started(i * share, share) for i in range(PARTS)]
    accepted = 0
    for part in parts:
        out, err = part.communicate()
        assert out, err
        figures = json.loads(out.splitlines()[-1])
        assert figures["others"] == []
        assert figures["inputs"] == share
        accepted += figures["accepted"]
    # Neither all nor none: the damage is neither none nor total.
    assert 0.1 * COUNT < accepted < 0.6 * COUNT


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    """A campaign without its subjects, which take seconds to prepare."""
    made = object.__new__(campaign.Campaign)
    made.seed, made._own = 3, None
    made.folder = tmp_path_factory.mktemp("fuzz")
    made.sound = made.folder / "sound"
    made.subjects = subjects.prepare(made.sound)
    return made


def test_seed_and_index_fix_an_input(fuzz, tmp_path):
    def made(index: int) -> tuple[str, dict[str, str]]:
        # In one place: links to what lies outside name it.
        _, damage = fuzz.make(index, tmp_path / "case")
        files = sorted((tmp_path / "case" / "in").rglob("*"))
        return damage.what, {str(path): campaign.digest(path) for path in files}

    for index in range(60):
        assert made(index) == made(index)
    assert made(1) != made(2)


def meets(fuzz, call) -> campaign.Outcome:
    """What a campaign says of an input that is used like this."""
    subject = subjects.Subject(
        "train.toml", (), "train.toml", (lambda *_: Damage("none"),), (call,)
    )
    fuzz.chosen = lambda index: (campaign.random.Random(index), subject)
    return fuzz.outcome(1)


def test_the_campaign_sees_what_it_looks_for(fuzz, monkeypatch):
    monkeypatch.setattr(campaign, "FILE_SHARE", 0.0)
    monkeypatch.setattr(campaign, "WALL", 1)
    outside = Path("outside") / "notes.txt"

    def raises(path, folder):
        {}["x"]

    def foreign(path, folder):
        json.loads("{")

    def unnamed(path, folder):
        raise ValueError("something is wrong")

    def hangs(path, folder):
        time.sleep(60)

    def hoards(path, folder):
        bytearray(4 << 30)

    def dies(path, folder):
        os.kill(os.getpid(), signal.SIGKILL)

    def writes(path, folder):
        outside.write_text("x")

    def lies(path, folder):
        raise uses.WrongValues("another value")

    for call, kind in (
        (raises, "a raw exception"), (foreign, "another library's words"),
        (unnamed, "another library's words"), (hangs, "hangs"),
        (hoards, "asks for too much memory"), (dies, "crashes"),
        (writes, "writes outside its folder"), (lies, "wrong values"),
    ):  # fmt: skip
        found = meets(fuzz, call)
        assert (found.verdict, campaign.kind_of(found.said)) == ("other", kind), found
    assert meets(fuzz, lambda path, folder: None).verdict == "accepted"


def test_a_sentence_of_fdiff_with_the_files_name_is_clear(fuzz, monkeypatch):
    from fdiff.inputs import read_toml

    monkeypatch.setattr(campaign, "FILE_SHARE", 0.0)

    def refuses(path, folder):
        path.write_text("a = [")
        read_toml(path)

    assert meets(fuzz, refuses).verdict == "clear"
