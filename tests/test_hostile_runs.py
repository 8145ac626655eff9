"""Damaged or malicious run directories, recipes and configurations: one sentence, no default."""

import json
import os
import shutil
from pathlib import Path

import pytest

from fdiff import errors, inputs

CORPUS = Path(__file__).parent / "corpus"


@pytest.fixture
def run(tmp_path):
    return Path(shutil.copytree(CORPUS / "run_conditional", tmp_path / "run"))


def change(run: Path, edit) -> None:
    description = json.loads((run / "run.json").read_text())
    edit(description)
    (run / "run.json").write_text(json.dumps(description))


def load(run: Path):
    from fdiff import nn

    return nn.load_run(run, device="cpu")


def _keys(tree, above=()):
    for key, value in tree.items():
        yield (*above, key)
        if isinstance(value, dict) and key != "training_data":
            yield from _keys(value, (*above, key))


KEYS = list(_keys(json.loads((CORPUS / "run_conditional" / "run.json").read_text())))


@pytest.mark.parametrize("way", KEYS, ids=".".join)
def test_every_key_of_a_description_is_needed(run, way):
    def remove(description):
        for key in way[:-1]:
            description = description[key]
        if way[0] != "training_data" or len(way) == 1:
            del description[way[-1]]

    change(run, remove)
    if way[0] == "training_data" and len(way) > 1:
        load(run)  # free: what a user says of the data
        return
    with pytest.raises(errors.FileError) as caught:
        load(run)
    assert caught.value.file == str(run / "run.json")
    assert caught.value.item.endswith(".".join(way))


@pytest.mark.parametrize(
    ("edit", "item"),
    [
        (lambda d: d["noise"].update(shift=float("nan")), ""),
        (lambda d: d["noise"].update(shift="15"), "noise.shift"),
        (lambda d: d["noise"].update(strange=1), "noise"),
        (lambda d: d["schedule"].update(type="Popen"), "schedule.type"),
        (lambda d: d["schedule"].update(stop=-1.0), "schedule"),
        (lambda d: d["grid"].update(shape=[18, 0]), "grid.shape[1]"),
        (lambda d: d["grid"].update(shape=[18, 10**12]), "grid.shape[1]"),
        (lambda d: d["grid"].update(lengths=[2.0]), "grid.lengths"),
        (lambda d: d["mean"]["values"].pop(), "mean.values"),
        (lambda d: d["mean"]["grid"].update(origin=[0.0, 0.0]), "mean.grid"),
        (lambda d: d["spectrum"].update(tail="rising"), "spectrum.tail"),
        (lambda d: d["spectrum"]["kappa"].reverse(), "spectrum.kappa"),
        (lambda d: d["conditions"].update(scale=[0.0]), "conditions.scale[0]"),
        (lambda d: d["conditions"].update(names=["k", "Du"]), "conditions.centre"),
        (lambda d: d.update(time=True), "time"),
        (lambda d: d.update(time=10**400), "time"),
        (lambda d: d.update(fields=["u", "u"]), "fields"),
        (lambda d: d.update(channels=2), "mean.values"),
    ],
)
def test_a_value_of_another_kind_is_named(run, edit, item):
    change(run, edit)
    with pytest.raises(errors.FileError) as caught:
        load(run)
    assert caught.value.item == item
    assert str(run / "run.json") in str(caught.value)


@pytest.mark.parametrize("version", [0, 2, "1", True, None])
def test_an_unknown_format_is_refused(run, version):
    change(run, lambda d: d.update(format=version))
    with pytest.raises(errors.UnknownVersion, match="has format"):
        load(run)


def test_counts_are_compared_with_the_weights_before_a_network_is_built(run):
    for table in ({"hidden_channels": 10**7}, {"n_layers": 10**9}, {"oversampling": 2**70}):
        change(run, lambda d, table=table: d["config"]["network"].update(table))
        with pytest.raises(ValueError, match=rf"run\.json: config\.network\.{next(iter(table))}"):
            load(run)
        shutil.copy(CORPUS / "run_conditional" / "run.json", run / "run.json")


@pytest.mark.parametrize("modes", [float("inf"), 4.0, [4, 4.0], "4", None, True, {"a": 4}])
def test_modes_are_whole_numbers(modes):
    from fdiff.nn import Config

    with pytest.raises(ValueError, match=r"network\.n_modes must be a whole number or a list"):
        Config.from_dict({"network": {"n_modes": modes}})


def damaged_state(run: Path, edit) -> Path:
    from safetensors.torch import load_file, save_file

    path = run / "optimizer.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)
    return path


def resume(run: Path):
    from fdiff.cli.train import train_from_file

    config = inputs.read_toml(CORPUS / "train.toml")
    data = CORPUS / "conditional_data.h5"
    return train_from_file(data, run, config, resume=True, condition=["k"])


NAME = "network.lift.weight"


@pytest.mark.parametrize(
    ("edit", "item"),
    [
        (lambda t: t.pop(f"weights.{NAME}"), f"weights.{NAME}"),
        (lambda t: t.pop(f"exp_avg.{NAME}"), f"exp_avg.{NAME}"),
        (lambda t: t.pop("recent_losses"), "recent_losses"),
        (lambda t: t.pop("step"), "step"),
        (lambda t: t.update(step=t["step"] * 0 - 1), "step"),
        (lambda t: t.update(step=t["step"] + 10**6), "step"),
        (
            lambda t: t.update({f"exp_avg_sq.{NAME}": t[f"exp_avg_sq.{NAME}"].flatten()}),
            f"exp_avg_sq.{NAME}",
        ),
        (
            lambda t: t.update({f"average.{NAME}": t[f"average.{NAME}"] * float("nan")}),
            f"average.{NAME}",
        ),
        (lambda t: t.update({f"average.{NAME}": t[f"average.{NAME}"].double()}), f"average.{NAME}"),
        (lambda t: t.update(stranger=t["step"].clone()), "stranger"),
    ],
)
def test_a_tensor_that_is_lost_or_reshaped_is_named(run, edit, item):
    path = damaged_state(run, edit)
    before = path.read_bytes()
    with pytest.raises(errors.FileError) as caught:
        resume(run)
    assert (caught.value.file, caught.value.item) == (str(path), item)
    assert path.read_bytes() == before


def test_a_run_that_lost_its_small_files_is_resumed_and_not_begun_again(run):
    (run / "state.json").unlink()
    before = (run / "optimizer.safetensors").read_bytes()
    resume(run)
    assert (run / "optimizer.safetensors").read_bytes() == before
    (run / "run.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no run\.json"):
        resume(run)
    assert (run / "optimizer.safetensors").read_bytes() == before


def test_a_line_of_the_records_that_is_damaged_is_named(run):
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1].replace('"step"', '"stop"')]))
    with pytest.raises(errors.FileError, match=r"metrics\.jsonl: line 2\.step: expected a value"):
        resume(run)


# No reader may wait for a pipe or read a device to its end.


def special(path: Path, kind: str) -> None:
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        os.symlink("/dev/zero", path)
    elif kind == "loop":
        os.symlink(path.name, path)
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "folder"])
@pytest.mark.parametrize("name", ["run.json", "model.safetensors"])
def test_only_regular_files_of_a_run_are_opened(run, name, kind):
    special(run / name, kind)
    with pytest.raises(errors.FileError, match=name):
        load(run)


@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "folder"])
def test_only_regular_recipes_and_configurations_are_opened(tmp_path, kind):
    from fdiff.cli.train import _config
    from fdiff.dataset import recipe

    for name, read in (("conditional.toml", recipe.load), ("train.toml", _config)):
        path = Path(shutil.copy(CORPUS / name, tmp_path / name))
        special(path, kind)
        with pytest.raises(errors.FileError, match=name):
            read(path)


def test_a_symbolic_link_is_followed_only_where_that_is_asked_for(run, tmp_path):
    target = tmp_path / "elsewhere.json"
    shutil.move(run / "run.json", target)
    (run / "run.json").symlink_to(target)
    with pytest.raises(errors.LinkRefused, match="--follow-links"):
        load(run)
    with inputs.following_links():
        assert load(run).fields == ("u",)


def test_a_training_writes_through_no_link(run, tmp_path):
    victim = tmp_path / "victim"
    for name in ("training.lock", "optimizer.safetensors"):
        victim.write_text("kept")
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(victim)
        with pytest.raises(errors.LinkRefused, match=name):
            resume(run)
        assert victim.read_text() == "kept"
        (run / name).unlink()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" * 100_000, "at most 32 levels"),
        ("[" * 40 + "]" * 40, "at most 32 levels"),
        ('{"a": ' + "1" * 5000 + "}", "too many digits"),
        ('{"a": 1,}', "line 1, column 9"),
        ('{"a": NaN}', "finite numbers"),
        ("", "line 1, column 1"),
    ],
)
def test_json_is_bounded_in_depth_and_said_where_it_is_wrong(tmp_path, text, expected):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(errors.FileError, match=expected):
        inputs.read_json(path)


def test_text_of_any_unicode_encoding_with_its_mark_is_read(tmp_path):
    path = tmp_path / "x.toml"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text('name = "é"\n', encoding=encoding)
        assert inputs.read_toml(path) == {"name": "é"}
    path.write_bytes(b'name = "\xe9"\n')
    with pytest.raises(errors.FileError, match="text in UTF-8, found other bytes at 8"):
        inputs.read_toml(path)


@pytest.mark.parametrize("letters", ["plain", "é", "naïve – ©"])
@pytest.mark.parametrize("order", ["little", "big"])
def test_utf16_without_its_mark_is_called_so(tmp_path, letters, order):
    path = tmp_path / "x.toml"
    path.write_bytes(f'name = "{letters}"\n'.encode(f"utf-16-{order[0]}e"))
    expected = rf"text in UTF-8, found UTF-16 \({order}-endian\) without .* mark; save it in UTF-8"
    with pytest.raises(errors.FileError, match=expected):
        inputs.read_toml(path)
    path.write_bytes(bytes(100))
    with pytest.raises(errors.FileError, match="text in UTF-8, found zero bytes"):
        inputs.read_toml(path)


def test_a_yaml_text_cannot_multiply_itself():
    text = "a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    with pytest.raises(errors.FileError, match="without references"):
        inputs.read_yaml_text(text, "x.h5", "config")


def test_a_file_larger_than_any_description_is_not_read(tmp_path):
    path = tmp_path / "x.toml"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(errors.FileError, match="at most"):
        inputs.read_toml(path)


def test_errors_of_files_travel_between_processes():
    import pickle

    error = errors.LinkRefused("x.h5", "0000", "a group", "a link", "copy it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.LinkRefused
    assert (again.file, again.item, str(again)) == ("x.h5", "0000", str(error))
