"""The numbers of an experiment, from the TOML file beside its script."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdiff.inputs import read_toml

HERE = Path(__file__).parent
MODES = ("quick", "full")


@dataclass(frozen=True)
class Setting:
    """Values of one form of one experiment: ``setting["steps"]``.

    ``NAME.toml`` holds what both forms share at its top, and a table for each form.
    """

    name: str
    mode: str  # "quick" or "full"
    values: dict[str, Any]
    data: Path | None = None  # the user's folder of data (MNIST), where one is needed

    @property
    def quick(self) -> bool:
        return self.mode == "quick"

    @property
    def seeds(self) -> range:
        return range(self["seeds"])

    def __getitem__(self, key: str) -> Any:
        if key not in self.values:
            raise ValueError(f"{self.name}.toml has no key {key!r} for the {self.mode} form")
        return self.values[key]

    def digest(self, *files: Path) -> str:
        """Of the values, of where the data lie and of the contents of ``files``.

        Results of another are not reused.
        """
        data = None if self.data is None else str(self.data.resolve())
        content = hashlib.sha256(json.dumps([self.values, data], sort_keys=True).encode())
        for file in sorted(files):
            content.update(file.read_bytes())
        return content.hexdigest()[:12]


def load(name: str, mode: str, data: Path | None = None) -> Setting:
    """The setting of an experiment.

    Raises:
        ValueError: no such form, a key that only one form has.
    """
    if mode not in MODES:
        raise ValueError(f"an experiment's form is one of {MODES}, got {mode!r}")
    path = HERE / f"{name}.toml"
    tables = read_toml(path)
    forms = {form: tables.pop(form, {}) for form in MODES}
    if forms["quick"].keys() != forms["full"].keys():
        odd = sorted(forms["quick"].keys() ^ forms["full"].keys())
        raise ValueError(f"{path.name}: {odd[0]!r} stands in only one of [quick] and [full]")
    values = {**tables, **forms[mode]}
    if int(values.get("seeds", 0)) < 1:
        raise ValueError(f"{path.name}: seeds must be a positive number of runs")
    return Setting(name, mode, values, data)
