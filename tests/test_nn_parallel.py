"""Two processes train like one: the same losses and weights to rounding, one writer, one voice."""

import json
import os
import re
import socket
import subprocess
import sys
import tomllib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("typer")

import fdiff  # noqa: E402
from fdiff import dataset, locks, nn  # noqa: E402
from fdiff.cli import main  # noqa: E402

if not torch.distributed.is_gloo_available():
    pytest.skip("torch without gloo", allow_module_level=True)

GRID = fdiff.Grid((16, 16), 2.0, "neumann", -1.0)
# Batches of 5 and 4: shares of 2 and 3 fields, and of 2 and 2.
SMALL = """
[network]
n_modes = 6
hidden_channels = 6
n_layers = 2
[training]
levels = [8, 16]
steps = [6, 4]
batch_size = [5, 4]
save_every = 5
warmup = 1
schedule = "{schedule}"
symmetries = ["reflections", "transpositions"]
"""
TOLERANCE = 1e-5  # of the losses, relative, and of weights of order one: float32 and ten steps


@pytest.fixture
def folder(tmp_path):
    rough = fdiff.BesselCovariance(20.0, 60.0, 2.5).sample(GRID, 80, seed=1, channels=1)
    sign = np.where(np.random.default_rng(0).random(80) < 0.5, -1.0, 1.0)
    u = 0.3 * rough + sign[:, None, None, None]
    dataset.write_fields(tmp_path / "data.h5", u, GRID, ["u"], 2.5, {})
    (tmp_path / "train.toml").write_text(SMALL.format(schedule="rehearsed"))
    return tmp_path


def arguments(folder, out, *options):
    given = [folder / "data.h5", "--out", out, "--config", folder / "train.toml", *options]
    return ["train", *map(str, given)]


def two_processes(program, *options):
    """What ``torchrun`` does with ``python program``, without its own start."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    children = [
        subprocess.Popen(
            [sys.executable, *map(str, [*program, *options])],
            env={**os.environ, "OMP_NUM_THREADS": "1", **shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    ends = [child.communicate(timeout=300) for child in children]
    return [child.returncode for child in children], "".join(error for _, error in ends)


def records(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_same_training(one, two):
    a, b = (nn.read_tensors(run / "optimizer.safetensors") for run in (one, two))
    np.testing.assert_allclose(b["recent_losses"], a["recent_losses"], rtol=TOLERANCE)
    for name in a:
        if name.startswith(("weights.", "average.")):
            np.testing.assert_allclose(b[name], a[name], rtol=0, atol=TOLERANCE, err_msg=name)
    for x, y in zip(records(one), records(two), strict=True):
        assert (x["step"], x["samples"], x["flops"]) == (y["step"], y["samples"], y["flops"])
        assert y["validation"] == pytest.approx(x["validation"], rel=TOLERANCE)


@pytest.mark.slow
def test_torchrun_goes_on_with_the_run_of_one_process(folder):
    assert main(arguments(folder, folder / "one")) == 0

    class Interruption(Exception):
        pass

    def stop_after_seven(progress):
        if progress.step == 7:
            raise Interruption

    with dataset.open(folder / "data.h5") as file:
        fields, held_out = (file.fields("u", 2.5, split) for split in ("train", "test"))
    config = nn.Config.from_dict(tomllib.loads((folder / "train.toml").read_text()))
    with pytest.raises(Interruption):
        nn.train(
            fields, GRID, config, folder / "two", validation=held_out, progress=stop_after_seven
        )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "fdiff"]
    command += arguments(folder, folder / "two", "--resume", "--json")
    done = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert_same_training(folder / "one", folder / "two")
    assert set(json.loads(done.stdout)["validation"]) == {"8x8", "16x16"}
    assert done.stderr.count("trained on 72 fields") == 1


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from fdiff import Grid, nn
grid, folder = Grid((16, 16), 2.0, "neumann", -1.0), Path(sys.argv[1])
config = nn.Config.from_dict(eval((folder / "config").read_text()))
fields = np.load(folder / "fields.npy")
with nn.team() as team:
    nn.train(fields[:72], grid, config, folder / "two", validation=fields[72:])
    if team.rank == 1:
        fields[5] = np.nan
    nn.train(fields, grid, config)
"""


def test_two_processes_train_as_one_and_end_with_the_first_error(folder):
    (folder / "program.py").write_text(PROGRAM)
    tables = tomllib.loads(SMALL.format(schedule="mlmc").replace("[6, 4]", "[4, 4]"))
    (folder / "config").write_text(repr(tables))
    with dataset.open(folder / "data.h5") as file:
        fields = file.fields("u")
    np.save(folder / "fields.npy", fields)
    nn.train(fields[:72], GRID, nn.Config.from_dict(tables), folder / "one", validation=fields[72:])
    codes, error = two_processes([folder / "program.py"], folder)
    assert_same_training(folder / "one", folder / "two")
    # The second process found NaN in its data; the first one's wait for it ended in silence.
    assert codes == [1, 1]
    assert error.count("1 of the 80 training fields holds NaN") == 1
    assert error.count("Traceback") == 1


def test_the_command_line_speaks_once(folder):
    options = arguments(folder, folder / "run", "--field", "w")
    codes, error = two_processes(["-m", "fdiff"], *options)
    assert codes == [1, 1]
    assert error.count("has fields u, not 'w'") == 1
    assert "Traceback" not in error
    assert not (folder / "run").exists()


def test_processes_of_one_training_share_its_lock(folder):
    with locks.held(folder / "run" / "training.lock", "the run directory"):
        codes, error = two_processes(["-m", "fdiff"], *arguments(folder, folder / "run"))
    assert codes == [1, 1]
    assert error.count(f"in use by process {os.getpid()}") == 1
    assert "Traceback" not in error
    assert not (folder / "run").exists()


@pytest.mark.parametrize("count", [1, 5, 8])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_cover_the_batch(count, size):
    shares = [nn.Team(rank, size).share(count) for rank in range(size)]
    assert [i for share in shares for i in share] == list(range(count))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_more_processes_than_fields_and_unknown_devices_are_refused(folder):
    fields = np.zeros((8, 1, 16, 16), np.float32) + np.linspace(0, 1, 16)
    with pytest.raises(ValueError, match="use fewer processes, or larger batches"):
        nn.MultilevelTrainer(
            torch.nn.Identity(), fields, GRID, nn.TrainingConfig((8,), (1,), (2,)),
            team=nn.Team(0, 3),
        )  # fmt: skip
    with pytest.raises(ValueError, match="not 'gpu'"), nn.team("gpu"):
        pass
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no CUDA device"), nn.team("cuda"):
            pass


# Names that torch knows, of devices without values (meta), of builds that nobody has (fpga, hpu),
# of another maker than this machine's (xpu, mps), or beyond the last one (cuda:99).
UNUSABLE = ["meta", "fpga", "hpu", "cuda:99"] + [
    name
    for name, module in (("mps", torch.backends.mps), ("xpu", torch.xpu), ("cuda", torch.cuda))
    if not module.is_available()
]


@pytest.mark.parametrize("device", UNUSABLE)
def test_a_device_that_cannot_compute_ends_in_a_sentence_before_anything_is_read(
    tmp_path, capsys, device
):
    missing = str(tmp_path / "none")
    for command in (["train", missing], ["sample", missing]):
        assert main([*command, "--out", str(tmp_path / "x"), "--device", device]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert re.match(rf"fdiff: torch .*'{device}' here.*: use cpu$", line)
        assert not re.search("aten|::|backend", line)  # torch's own words, for its developers
    law = fdiff.BesselCovariance(20.0, 60.0, 2.5)
    process = fdiff.ForwardProcess(law, fdiff.LinearSchedule())
    score = fdiff.GaussianScore(process, 0.0, law)
    with pytest.raises(ValueError, match="use cpu"):
        fdiff.sample(score, GRID, 2, 2, backend="torch", device=device)
    with pytest.raises(ValueError, match='use backend="torch"'):
        fdiff.sample(score, GRID, 2, 2, device=device)


def test_a_device_of_wrong_results_is_refused(monkeypatch):
    from fdiff.backends import torch as backend

    monkeypatch.setattr(torch.fft, "irfft", lambda c, n: torch.zeros(n, dtype=torch.float64))
    backend._fault.cache_clear()
    with pytest.raises(ValueError, match="on the device 'cpu' here: use cpu"):
        nn.load_run("nowhere", device="cpu")
    monkeypatch.undo()
    backend._fault.cache_clear()
    assert backend.device_named("cpu") == backend.device_named() == torch.device("cpu")
