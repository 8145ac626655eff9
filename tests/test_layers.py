"""The house's floors: who may import whom, and what an import brings along."""

from __future__ import annotations

import ast
import importlib
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import fdiff

ROOT = Path(fdiff.__file__).parents[1]
FLOORS = ["fdiff_kernels", "fdiff", "fdiff.nn", "data_generation", "fdiff.cli"]
WATCHERS = ["validation", "benchmarks", "tests"]
# What only the upper floors, or the code that runs, may bring.
OUTSIDE = {
    "fdiff_kernels": {"torch", "typer", "rich", "matplotlib", "h5py", "yaml", "scipy"},
    "fdiff": {"torch", "typer", "rich", "matplotlib", "safetensors", "tomli_w", "numba"},
    "fdiff.nn": {"typer", "rich", "matplotlib", "numba"},
    "data_generation": {"torch", "typer", "rich", "matplotlib", "numba"},
    "fdiff.cli": set(),
}
ENTRY = ROOT / "fdiff" / "__main__.py"  # python -m fdiff: a door of the top floor
TORCH_OF_THE_CORE = ROOT / "fdiff" / "backends" / "torch.py"


def floor_of(module: str) -> str | None:
    """The floor or watcher to which ``module`` belongs; None for other packages."""
    names = [n for n in FLOORS + WATCHERS if module == n or module.startswith(n + ".")]
    return max(names, key=len, default=None)


def sources():
    packages = ["fdiff_kernels", "fdiff", "data_generation"]
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def imports(path: Path, *, top_level: bool) -> set[str]:
    """Modules named by import statements; those that run on import only, or all of them."""
    found: set[str] = set()

    def visit(node, inside):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside = True
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if not (inside and top_level):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are absolute"
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(path.read_text()), False)
    return found


def floor_of_file(path: Path) -> str:
    if path == ENTRY:
        return "fdiff.cli"
    floor = floor_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert floor is not None
    return floor


@pytest.mark.parametrize("path", sources())
def test_imports_go_down_only(path):
    mine = floor_of_file(path)
    for name in imports(path, top_level=False):
        theirs = floor_of(name)
        assert theirs not in WATCHERS, f"{path}: imports {name}"
        if theirs is not None:
            assert FLOORS.index(theirs) <= FLOORS.index(mine), f"{path}: {mine} imports {name}"


@pytest.mark.parametrize("path", sources())
def test_heavy_packages_come_only_where_they_may(path):
    if path == TORCH_OF_THE_CORE:
        return
    named = {name.split(".")[0] for name in imports(path, top_level=True)}
    forbidden = named & OUTSIDE[floor_of_file(path)]
    assert not forbidden, f"{path.relative_to(ROOT)} imports {sorted(forbidden)} when imported"


def test_commands_bring_torch_and_matplotlib_only_when_they_run():
    for path in (ROOT / "fdiff" / "cli").glob("*.py"):
        named = {name.split(".")[0] for name in imports(path, top_level=True)}
        heavy = named & {"torch", "matplotlib", "numba", "h5py"}
        assert not heavy, f"{path.name} imports {sorted(heavy)}"


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def core_modules() -> list[str]:
    upper = ("fdiff.nn", "fdiff.cli", "fdiff.backends.torch", "fdiff.__main__")
    names = [module.name for module in pkgutil.walk_packages(fdiff.__path__, "fdiff.")]
    return [name for name in names if not name.startswith(upper)]


def test_the_core_imports_without_torch():
    blocked = "import sys; [sys.modules.__setitem__(n, None) for n in ('torch', 'matplotlib')]\n"
    run(blocked + "\n".join(f"import {name}" for name in core_modules()))


def test_the_core_samples_without_torch():
    run(
        "import sys; sys.modules['torch'] = None\n"
        "import fdiff\n"
        "Q = fdiff.MaternCovariance(1.0, 0.2, 1.5)\n"
        "score = fdiff.GaussianScore(fdiff.ForwardProcess(Q, fdiff.LinearSchedule()), 0.0, Q)\n"
        "assert fdiff.sample(score, fdiff.Grid((8, 8)), 2, 3).fields.shape == (2, 8, 8)\n"
    )


def test_a_tensor_without_torch_is_asked_for_in_one_sentence():
    message = run(
        "import sys; sys.modules['torch'] = None\n"
        "from fdiff import backends\n"
        "try: backends.named('torch')\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    assert "needs PyTorch" in message


def test_importing_fdiff_is_light():
    loaded = run("import fdiff, sys; print(*sorted({n.split('.')[0] for n in sys.modules}))")
    heavy = {"numpy", "scipy", "numba", "pyfftw", "torch", "h5py", "yaml", "matplotlib", "typer"}
    assert not heavy & set(loaded.split())


def test_public_names_load_when_they_are_used():
    for name in fdiff.__all__:
        if name == "nn":
            pytest.importorskip("torch")
        assert getattr(fdiff, name) is not None
        assert name in dir(fdiff)
    with pytest.raises(AttributeError, match="no attribute 'Gird'"):
        fdiff.Gird  # noqa: B018


def test_a_grid_needs_no_compiler():
    loaded = run("import fdiff, sys; fdiff.Grid((8,)).basis.laplacian; print(*sys.modules)")
    assert not {"numba", "torch", "scipy"} & set(loaded.split())


def test_no_module_is_hidden_by_a_public_name():
    """``import package.module as m`` gives the module, not a function of the same name."""
    for info in pkgutil.walk_packages(fdiff.__path__, "fdiff."):
        if info.name != "fdiff.__main__":
            parent, _, name = info.name.rpartition(".")
            module = importlib.import_module(info.name)
            assert getattr(importlib.import_module(parent), name) is module, info.name


def test_one_divergence_error_serves_samplers_and_integrators():
    assert fdiff.pde.DivergenceError is fdiff.solvers.DivergenceError
    assert fdiff.pde.DivergenceError is fdiff.errors.DivergenceError


def test_errors_pass_between_processes_whole():
    from fdiff import errors

    for error in (
        errors.DivergenceError("it diverged", 0.5),
        errors.UnreadableHere("it is locked"),
        errors.InUseError("it is in use"),
        errors.FileError("x.h5", "grid", "a number", "a text", "restore it"),
        errors.LinkRefused("x.h5", "", "a file", "a link"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_diverged_training_comes_back_from_another_process():
    from fdiff.nn import TrainingDiverged

    error = pickle.loads(pickle.dumps(TrainingDiverged("the loss is nan", [1.0])))
    assert (str(error), error.batch) == ("the loss is nan", [1.0])
