"""``fdiff doctor``: what is installed, what runs, and what to do about the rest."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Annotated

import typer

from fdiff.cli.output import reads_files
from fdiff.words import counted

CORE = ("numpy", "scipy", "numba", "pyfftw", "h5py", "yaml")
OPTIONAL = {
    "torch": "torch", "safetensors": "torch", "typer": "cli", "rich": "cli", "tomli_w": "cli",
    "matplotlib": "plot", "xarray": "xarray", "distributed": "dask",
}  # fmt: skip
DISTRIBUTION = {"yaml": "PyYAML", "pyfftw": "pyFFTW"}


def register(app: typer.Typer) -> None:
    @app.command()
    @reads_files
    def doctor(
        file: Annotated[
            Path | None, typer.Argument(help="Dataset to look at, in a process of its own.")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON value on stdout.")] = False,
    ) -> None:
        """Check the installation: packages, kernels against exact answers, cores, GPU.

        With FILE, check that dataset instead: also damage that ends HDF5 itself is said.
        """
        from fdiff.cli.output import print_json, print_table

        rows = _dataset(file) if file else [*_packages(), *_checks(), *_machine()]
        if as_json:
            print_json([dict(zip(("item", "found", "status", "advice"), row)) for row in rows])
        elif file:  # whole sentences, which a table would cut
            print("\n".join(f"{status}: {found}" for _, found, status, _ in rows))
        else:
            print_table("fdiff doctor", ["item", "found", "status", "advice"], rows)
        if any(row[2] == "FAIL" for row in rows):
            raise typer.Exit(1)


def _dataset(path: Path) -> list[list[str]]:
    """What is the matter with a dataset file, or with The Well's folders."""
    from fdiff.cli import explain
    from fdiff.dataset.apart import examine
    from fdiff.dataset.verify import remarks

    try:
        report, problems, poor = examine(path)
    except (ValueError, OSError, MemoryError) as error:
        return [[path.name, explain(error), "FAIL", ""]]
    rows = [[path.name, problem, "FAIL", ""] for problem in problems]
    if poor:
        rows.append([path.name, poor.sentence(path), "warning", ""])
    status = "warning" if report["gaps"] else "ok"
    rows += [[path.name, remark, status, ""] for remark in remarks(path, report)]
    are = counted(report["samples"], "sample is", "samples are")
    return rows or [[path.name, f"{are} intact", "ok", ""]]


def _packages() -> list[list[str]]:
    rows = []
    for name in (*CORE, *OPTIONAL):
        try:
            importlib.import_module(name)
            version = importlib.metadata.version(DISTRIBUTION.get(name, name))
            rows.append([name, version, "ok", ""])
        except ImportError as error:
            if name in CORE:
                rows.append([name, str(error), "FAIL", "pip install fdiff"])
            else:
                advice = f'pip install "fdiff[{OPTIONAL[name]}]"'
                rows.append([name, "not installed", "optional", advice])
    return rows


def _checks() -> list[list[str]]:
    return [_check(name, function) for name, function in CHECKS.items()]


def _check(name: str, function) -> list[str]:
    try:
        return [name, *function(), ""]
    except Exception as error:  # whatever is broken is what the user wants to see
        return [name, f"{type(error).__name__}: {error}", "FAIL", "reinstall numba and pyfftw"]


def _keyed_numbers() -> list[str]:
    from fdiff_kernels import philox

    words = [int(word) for word in philox.philox(0, 0, 0, 0, 0, 0)]
    right = words == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    return ["known answer of Philox4x32-10", "ok" if right else "FAIL"]


def _transforms() -> list[str]:
    import numpy as np

    from fdiff.grid import Grid

    grid = Grid((9, 8, 7), (1.0, 2.0, 0.5), ("periodic", "neumann", "dirichlet"))
    u = np.random.default_rng(0).standard_normal(grid.shape)
    error = float(np.abs(grid.basis.inverse(grid.basis.forward(u)) - u).max())
    return [f"round trip to {error:.0e}", "ok" if error < 1e-13 else "FAIL"]


CHECKS = {"kernels (numba)": _keyed_numbers, "transforms (FFTW)": _transforms}


def _machine() -> list[list[str]]:
    rows = [["machine", f"{platform.machine()}, {os.cpu_count()} cores", "ok", ""]]
    try:
        import torch
    except ImportError:
        return rows
    if torch.cuda.is_available():
        rows.append(["GPU", torch.cuda.get_device_name(0), "ok", ""])
    else:
        rows.append(["GPU", "none that PyTorch can use", "optional", "everything runs on the CPU"])
    return rows
