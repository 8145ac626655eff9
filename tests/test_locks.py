"""One folder, one training: a lock that a killed process does not leave behind."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import warnings

import pytest

from fdiff import locks
from fdiff.errors import InUseError

HOLD = """
import sys
from pathlib import Path
from fdiff.locks import held
with held(Path(sys.argv[1]), "the folder"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds ``folder/lock`` until its standard input ends."""
    path = tmp_path / "folder" / "lock"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "held\n"
    yield path, child
    child.kill()
    child.communicate()


@pytest.fixture
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def free(path):
    with locks.held(path, "the folder"):
        return locks.Holder.read(path).pid == os.getpid()


def test_the_second_process_is_refused_and_told_who_is_there(other):
    path, child = other
    with pytest.raises(InUseError) as refusal, locks.held(path, "the folder"):
        pass
    words = rf"the folder is in use by process {child.pid} on \S+ since \d{{4}}-\d\d-\d\d \S+:"
    assert re.match(words, str(refusal.value))
    assert locks.Holder.read(path).pid == child.pid  # as it was


@pytest.mark.usefixtures("no_warnings")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_no_lock(other, end):
    path, child = other
    child.send_signal(end)
    child.wait()
    assert path.is_file()
    assert free(path)
    assert not path.exists()


def test_the_end_removes_the_file_and_the_folders_made_for_it_only(other, tmp_path):
    path, child = other
    child.communicate("")
    assert child.returncode == 0
    assert not path.parent.exists()
    (tmp_path / "kept").mkdir()
    assert free(tmp_path / "kept" / "lock")
    assert (tmp_path / "kept").is_dir()
    with locks.held(tmp_path / "new" / "lock", "the folder"):
        (tmp_path / "new" / "result").touch()
    assert os.listdir(tmp_path / "new") == ["result"]


def test_one_process_has_a_lock_once(tmp_path):
    with locks.held(tmp_path / "lock", "the folder"):
        with (
            pytest.raises(InUseError, match=f"process {os.getpid()} "),
            locks.held(tmp_path / "lock", "the folder"),
        ):
            pass
        assert (tmp_path / "lock").is_file()


def test_a_file_that_was_removed_while_it_was_opened_locks_nothing(tmp_path, monkeypatch):
    """Else two processes could hold a lock each, one of them on a file without a name."""
    path, real, seen = tmp_path / "lock", locks.try_lock, []

    def last_holder_ends(file):
        if not seen:
            path.unlink()
        seen.append(os.fstat(file.fileno()).st_ino)
        return real(file)

    monkeypatch.setattr(locks, "try_lock", last_holder_ends)
    with locks.held(path, "the folder"):
        assert path.stat().st_ino == seen[-1]
    assert len(seen) == 2


def test_a_lock_left_on_another_machine_is_mentioned(tmp_path):
    holder = {"pid": 7, "host": "elsewhere", "since": "2026-01-02 03:04:05"}
    (tmp_path / "lock").write_text(json.dumps(holder))
    with pytest.warns(UserWarning, match="process 7 on elsewhere since 2026-01-02 03:04:05"):
        assert free(tmp_path / "lock")


@pytest.fixture
def without_locks(monkeypatch):
    """A file system that has no locks, as some on clusters."""
    import fcntl

    def flock(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.usefixtures("without_locks")
def test_without_locks_the_file_decides_and_a_warning_says_so(tmp_path, other):
    path, child = other
    with pytest.raises(InUseError, match=rf"process {child.pid} .* remove that file"):
        free(path)
    child.kill()
    child.wait()
    with pytest.warns(UserWarning, match="there are no locks here"):
        assert free(path)
    assert not path.exists()
    holder = {"pid": child.pid, "host": "elsewhere", "since": "2026-01-02 03:04:05"}
    (tmp_path / "lock").write_text(json.dumps(holder))
    with pytest.raises(InUseError, match=r"on elsewhere .* if it has ended, remove that file"):
        free(tmp_path / "lock")
    # Made by a process that has not come to write its name.
    (tmp_path / "new").touch()
    with pytest.raises(InUseError, match=r"another process, as .*new says"):
        free(tmp_path / "new")
    assert (tmp_path / "new").exists()


@pytest.mark.usefixtures("without_locks")
def test_data_are_written_without_locks_too_but_not_silently(tmp_path):
    from fdiff.dataset.ledger import Ledger

    with pytest.warns(UserWarning, match=r"another process that writes x\.h5 would not be seen"):
        Ledger(tmp_path / "x.h5.partial.ledger").remove()
