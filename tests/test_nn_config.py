"""A configuration: every option has an effect, or is refused by name before data are read."""

import dataclasses
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

import fdiff  # noqa: E402
from fdiff import nn  # noqa: E402
from fdiff.nn.config import KINDS  # noqa: E402

GRID = fdiff.Grid((16, 16), 2.0, "neumann", -1.0)
SMALL = {
    kind: nn.NetworkConfig(kind=kind, hidden_channels=8)
    if kind == "unet"
    else nn.NetworkConfig(kind=kind, hidden_channels=8, n_layers=1, n_modes=8)
    for kind in KINDS
}
OTHER_NETWORK = {
    "hidden_channels": 12, "n_layers": 2, "n_modes": 6, "mixing": "full", "coordinates": True,
    "oversampling": 2, "save_memory": True, "n_levels": 1,
}  # fmt: skip
OTHER_DENOISER = {
    "prediction": "noise", "wiener": False, "reach": 1e-3, "noise_shift": 15.0, "noise_power": 2.5
}  # fmt: skip
OTHER_TRAINING = {
    "levels": (4, 8), "steps": (3, 2), "batch_size": (3, 2), "schedule": "warm",
    "learning_rate": 1e-3, "warmup": 1, "decay": "constant", "clip": 1e-3, "average": 0.0,
    "weight_decay": 0.5, "shell_weight": 0.0, "symmetries": ("reflections",),
    "half_log_snr": (-2.0, 2.0), "seed": 1, "save_every": 2, "precision": "bfloat16",
    "compile": True,
}  # fmt: skip
SHORT = nn.TrainingConfig(levels=(8, 16), steps=(2, 2), batch_size=(2, 2), save_every=100)


def test_the_contract_knows_every_option():
    for kind, other, more in (
        (nn.NetworkConfig, OTHER_NETWORK, {"kind"}),
        (nn.DenoiserConfig, OTHER_DENOISER, set()),
        (nn.TrainingConfig, OTHER_TRAINING, set()),
    ):
        assert {f.name for f in dataclasses.fields(kind)} == set(other) | more


def with_option(config, option, value):
    """The changed configuration and nothing, or None and the words of the refusal."""
    try:
        return dataclasses.replace(config, **{option: value}), ""
    except ValueError as refusal:
        return None, str(refusal)


@pytest.mark.parametrize("option", OTHER_NETWORK)
@pytest.mark.parametrize("kind", KINDS)
def test_an_option_changes_the_network_or_is_refused_by_name(kind, option):
    usual = SMALL[kind].build(GRID, 1, 1)
    changed, refusal = with_option(SMALL[kind], option, OTHER_NETWORK[option])
    if changed is None:
        assert f"network.{option} = {OTHER_NETWORK[option]!r} would have no effect" in refusal
        assert f'"{kind}"' in refusal
        return
    other = changed.build(GRID, 1, 1)
    shapes = [{k: v.shape for k, v in n.named_parameters()} for n in (usual, other)]
    if shapes[0] != shapes[1]:
        return
    if option == "save_memory":
        assert other.recompute
        assert not usual.recompute
        return
    # The last layer starts at zero, which would hide the rest.
    x, t = torch.randn((1, 1, 16, 16), generator=torch.Generator().manual_seed(0)), torch.zeros(1)
    for network in (usual, other):
        for i, weights in enumerate(network.parameters()):
            torch.nn.init.normal_(weights, generator=torch.Generator().manual_seed(i))
    assert (usual(x, t) - other(x, t)).abs().max() > 1e-6 * usual(x, t).abs().max()


@pytest.mark.parametrize("wiener", [True, False])
@pytest.mark.parametrize("option", OTHER_DENOISER)
def test_an_option_changes_the_denoiser_or_is_refused_by_name(option, wiener):
    usual = nn.DenoiserConfig(wiener=wiener)
    changed, refusal = with_option(usual, option, OTHER_DENOISER[option])
    if changed is None:
        assert option in refusal
        return
    if changed == usual:
        return
    law, out = fdiff.BesselCovariance(20.0, 60.0, 2.5), []
    if usual.noise(GRID, law) != changed.noise(GRID, law):
        return  # another process
    x = torch.from_numpy(law.sample(GRID, 1, seed=1)[:, None]).float()
    for config in (usual, changed):
        network = SMALL["fno"].build(GRID, config.network_channels(1), 1)
        for weights in network.parameters():
            torch.nn.init.normal_(weights, generator=torch.Generator().manual_seed(0))
        denoiser = config.build(network, config.noise(GRID, law), 0.0, law, GRID)
        out.append(denoiser(x, torch.zeros(1)).detach())
    assert (out[0] - out[1]).abs().max() > 1e-6 * out[0].abs().max()


def rough(size=6, seed=2):
    fields = fdiff.BesselCovariance(20.0, 60.0, 2.5).sample(GRID, size, seed)
    return fields.astype(np.float32)[:, None]


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return results(SHORT, tmp_path_factory.mktemp("usual"))


def results(training, folder):
    compiled = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "compile", lambda network, *a, **k: compiled.append(1))
        config = nn.Config(SMALL["fno"], training=training)
        config = config.replace(network__n_modes=4)
        run = nn.train(rough(), GRID, config, folder, validation=rough(2, 3))
    return run.identity, len((folder / "metrics.jsonl").read_text().splitlines()), len(compiled)


@pytest.mark.parametrize("option", OTHER_TRAINING)
def test_an_option_changes_the_training(option, usual, tmp_path):
    changed = dataclasses.replace(SHORT, **{option: OTHER_TRAINING[option]})
    assert results(changed, tmp_path) != usual


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"network": {"mixing": "spiral"}}, r"network\.mixing must be one of"),
        ({"network": {"kind": "unet", "n_modes": 16}}, r'network\.n_modes = 16 .*"unet"'),
        ({"denoiser": {"wiener": False, "prediction": "score"}}, r"denoiser\.prediction must be"),
        ({"denoiser": {"wiener": False, "reach": 3.0}}, r"denoiser\.reach = 3\.0 .*wiener = false"),
        ({"denoiser": {"reach": 0.0}}, r"denoiser\.reach must be positive"),
        ({"denoiser": {"noise_shift": -1.0}}, r"denoiser\.noise_shift must be positive"),
        ({"training": {"schedule": "mlmc", "steps": [3, 2]}}, r"training\.steps = \(3, 2\) .*mlmc"),
        ({"training": {"clip": float("inf")}}, r"training\.clip must be finite"),
        ({"training": {"half_log_snr": [1.0]}}, "increasing pair"),
        ({"network": 3}, r"\[network\] must be a table"),
    ],
)
@pytest.mark.parametrize("images", [False, True])
def test_what_has_no_effect_or_fails_late_is_refused_when_it_is_made(table, message, images):
    with pytest.raises(ValueError, match=message):
        nn.Config.from_dict(table, images)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_run_records_is_accepted_again(kind):
    """Of a run every option is written down, also those that its network does not have."""
    config = nn.Config(SMALL[kind], nn.DenoiserConfig("noise", False), nn.TrainingConfig())
    assert nn.Config.from_dict(config.as_dict()) == config
    assert nn.Config.recorded(config.as_dict()) == config
    mlmc = nn.Config(training=nn.TrainingConfig(schedule="mlmc"))
    assert nn.Config.recorded(mlmc.as_dict()) == nn.Config.from_dict(mlmc.as_dict()) == mlmc


def test_a_run_whose_options_had_no_effect_is_still_read(tmp_path):
    config = nn.Config(nn.NetworkConfig(kind="unet", hidden_channels=4), training=SHORT)
    run = nn.train(rough(), GRID, config, tmp_path)
    description = json.loads((tmp_path / "run.json").read_text())
    description["config"]["network"]["mixing"] = "full"  # as an earlier version let through
    (tmp_path / "run.json").write_text(json.dumps(description))
    found = nn.load_run(tmp_path, device="cpu")
    assert found.config == config
    assert found.identity == run.identity


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network__kind": "oriented", "network__hidden_channels": 6}, "multiple of 4"),
        ({"network__n_modes": (6, 6, 6)}, "n_modes needs 2"),
        ({"network__n_modes": 12}, "more than a grid of shape"),
        ({"denoiser__noise_power": 0.9}, "noise_power must exceed"),
        ({"training__levels": (8, 32)}, "finer than the data"),
        ({"training__symmetries": ("translations",)}, "periodic axis"),
    ],
)
def test_what_does_not_fit_the_grid_is_refused_before_the_data_are_looked_at(change, message):
    config = nn.Config(SMALL["fno"], training=SHORT).replace(**change)
    with pytest.raises(ValueError, match=message):
        nn.check_fit(config, GRID, 1)
    with pytest.raises(ValueError, match=message):
        nn.train(np.full((3, 1, 16, 16), np.nan), GRID, config)


def test_a_unet_whose_sides_do_not_halve_is_refused_before_the_data_are_looked_at():
    config = nn.Config(nn.NetworkConfig(kind="unet", n_levels=4), training=SHORT)
    with pytest.raises(ValueError, match="sides divisible by 16"):
        nn.check_fit(config, GRID, 1)


def test_options_beside_a_network_of_ones_own_are_refused():
    config = nn.Config(nn.NetworkConfig(n_layers=2), training=SHORT)
    with pytest.raises(ValueError, match=r"network\.n_layers = 2 would have no effect: a Identity"):
        nn.train(rough(), GRID, config, network=torch.nn.Identity())


def test_images_have_one_place_for_their_defaults():
    config = nn.Config.for_images(network__hidden_channels=8, training__seed=3)
    assert (config.network.kind, config.network.coordinates) == ("oriented", True)
    assert config.denoiser.noise_shift == 1500
    assert (config.network.hidden_channels, config.training.seed) == (8, 3)
    assert nn.Config.for_images(network__coordinates=False).network.coordinates is False
    unet = nn.Config.for_images(network__kind="unet")
    assert unet.network == nn.NetworkConfig(kind="unet")
    assert unet.denoiser.noise_shift == 1500


def test_the_command_and_python_train_the_same_on_images(tmp_path):
    pytest.importorskip("typer")
    from fdiff import dataset
    from fdiff.cli import main

    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 16), np.uint8)
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in pixels.shape)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "t10k-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
    (tmp_path / "t.toml").write_text(
        "[network]\nhidden_channels = 4\nn_layers = 1\nn_modes = 8\n"
        "[training]\nlevels = [8, 16]\nsteps = [1, 1]\nbatch_size = [2, 2]\n"
    )
    options = ["--out", tmp_path / "run", "--config", tmp_path / "t.toml"]
    assert main(["train", str(tmp_path / "images"), *map(str, options)]) == 0
    with dataset.open(tmp_path / "images") as file:
        assert file.holds_images
        fields, grid = file.fields("image", 0.0, "train"), file.grid
    config = nn.Config.for_images(
        network__hidden_channels=4, network__n_layers=1, network__n_modes=8,
        training__levels=(8, 16), training__steps=(1, 1), training__batch_size=(2, 2),
    )  # fmt: skip
    run = nn.train(fields, grid, config)
    assert run.identity == nn.load_run(tmp_path / "run", device="cpu").identity


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ("u", "v")}, r"\['u', 'v'\] are not names for the 1 channels"),
        ({"resume": True}, "resume needs a run directory"),
        ({"tensorboard": True}, "tensorboard needs a run directory"),
        ({"validation_parameters": {"r": np.arange(2.0)}}, "give these too"),
        (
            {
                "parameters": {"r": np.arange(6.0)}, "validation": rough(2, 3),
                "validation_parameters": {"k": np.arange(2.0)},
            },
            r"validation_parameters are \['k'\], parameters are \['r'\]",
        ),
    ],
)  # fmt: skip
def test_arguments_of_train_that_would_be_dropped_are_refused(arguments, message):
    config = nn.Config(SMALL["fno"], training=SHORT).replace(network__n_modes=4)
    with pytest.raises(ValueError, match=message):
        nn.train(rough(), GRID, config, **arguments)


CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("run", sorted(p.parent.name for p in CORPUS.glob("*/config.toml")))
def test_the_config_toml_of_an_earlier_version_is_accepted(run):
    tables = tomllib.loads((CORPUS / run / "config.toml").read_text())
    for images in (False, True):  # it says all, so that no default is taken
        assert nn.Config.from_dict(tables, images) == nn.load_run(CORPUS / run, "cpu").config
