"""torch.compile: the same training, or a warning and the same training."""

import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from test_nn_trainer import nn_trainer, two_humps  # noqa: E402

LOSS_TOLERANCE = 1e-5  # relative: float32, sums in another order


def losses_of(compiled):
    trainer = nn_trainer(
        two_humps(8), network__n_layers=1, training__levels=(8,), training__steps=(6,),
        training__batch_size=(4,), training__compile=compiled,
    )  # fmt: skip
    losses = []
    trainer.train(progress=lambda p: losses.append(p.loss))
    return np.array(losses), trainer


def test_where_compilation_fails_training_goes_on_with_a_warning(monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("no C++ compiler\nand much more")

    plain, _ = losses_of(False)
    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(UserWarning, match=r"failed \(RuntimeError: no C\+\+ compiler\); training"):
        found, trainer = losses_of(True)
    np.testing.assert_array_equal(found, plain)
    assert trainer.denoiser.network._compiled_call_impl is None


def test_a_network_that_fails_only_when_run_is_left_as_it_was(monkeypatch):
    def broken(*arguments, **options):
        def call(*arguments, **options):
            raise RuntimeError("generated code does not build")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(UserWarning, match="generated code does not build"):
        found, _ = losses_of(True)
    assert np.isfinite(found).all()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_the_compiled_network_trains_alike():
    plain, one = losses_of(False)
    found, two = losses_of(True)
    assert two.denoiser.network._compiled_call_impl is not None
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0
    np.testing.assert_allclose(found, plain, rtol=LOSS_TOLERANCE)
    for a, b in zip(one.denoiser.parameters(), two.denoiser.parameters()):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-5)
