"""Damage to HDF5 files by their own library: types, shapes, attributes, links, names, records."""

from __future__ import annotations

import json
import random
from pathlib import Path

import h5py
import numpy as np

from .damage import BYTES, Damage, Damager, surroundings
from .text import mutated


def _datasets(file: h5py.File) -> list[str]:
    """Names of all datasets of the file itself, those of values several times."""
    found: list[str] = []

    def visit(name: str, thing) -> None:
        if isinstance(thing, h5py.Dataset):
            found.extend([name] * (6 if name.endswith("/data") or "t0_fields" in name else 1))

    file.visititems(visit)
    return sorted(found)


def _groups(file: h5py.File) -> list[str]:
    found = ["/"]
    file.visititems(
        lambda name, thing: found.append(name) if isinstance(thing, h5py.Group) else None
    )
    return sorted(found)


def _dataset(path: Path, chance: random.Random) -> tuple[h5py.File, str]:
    file = h5py.File(path, "r+")
    names = _datasets(file)
    return file, chance.choice(names) if names else ""


def types(path: Path, chance: random.Random) -> Damage:
    """A dataset of the same shape and another type."""
    file, name = _dataset(path, chance)
    with file:
        if not name:
            return Damage("nothing to change", keeps=True)
        values = file[name][...]
        kind = chance.choice(("i4", "u1", "?", "c8", "f8", ">f4", "f2", "text", "compound", "enum",
                              "opaque", "reference", "ragged", "array"))  # fmt: skip
        is_text = not np.issubdtype(values.dtype, np.number) and values.dtype != bool
        del file[name]
        if kind == "text":
            file[name] = np.full(values.shape, b"0.5", dtype="S3")
        elif kind == "compound":
            file[name] = np.zeros(values.shape, dtype=[("a", "f4"), ("b", "f4")])
        elif kind == "enum":
            enum = h5py.enum_dtype({"no": 0, "yes": 1}, basetype="i1")
            file.create_dataset(name, data=np.ones(values.shape, "i1"), dtype=enum)
        elif kind == "opaque":
            file[name] = np.zeros(values.shape, dtype="V4")
        elif kind == "reference":
            file.create_dataset(name, values.shape, dtype=h5py.ref_dtype)
        elif kind == "ragged":
            file.create_dataset(name, values.shape, dtype=h5py.vlen_dtype(np.dtype("f4")))
        elif kind == "array":
            file.create_dataset(name, values.shape, dtype=np.dtype(("f4", (2,))))
        elif is_text:
            file[name] = np.zeros(values.shape, kind)
        else:
            with np.errstate(all="ignore"):
                file[name] = values.astype(kind)
    strange = name.endswith("/data") and kind in ("text", "compound", "enum", "opaque", "reference",
                                                  "ragged", "array", "?", "c8")  # fmt: skip
    return Damage(f"{name} has type {kind}", forbidden=f"the type {kind}" if strange else "")


def shapes(path: Path, chance: random.Random) -> Damage:
    """A dataset of the same type and another shape."""
    file, name = _dataset(path, chance)
    with file:
        if not name:
            return Damage("nothing to change", keeps=True)
        values = file[name][...]
        kind = chance.choice(("scalar", "null", "empty", "flat", "more axes", "fewer", "longer",
                              "turned", "enormous", "chunked"))  # fmt: skip
        del file[name]
        if kind == "scalar":
            file[name] = values.ravel()[0] if values.size else 0.0
        elif kind == "null":
            file[name] = h5py.Empty(values.dtype)
        elif kind == "empty":
            axis = chance.randrange(max(values.ndim, 1))
            shape = tuple(0 if i == axis else n for i, n in enumerate(values.shape)) or (0,)
            file.create_dataset(name, shape, dtype=values.dtype)
        elif kind == "flat":
            file[name] = values.ravel()
        elif kind == "more axes":
            file[name] = values[(None,) * chance.choice((1, 2, 5))]
        elif kind == "fewer":
            file[name] = values[..., 0] if values.ndim else values
        elif kind == "longer":
            file[name] = np.concatenate([np.atleast_1d(values)] * 2, axis=chance.choice((0, -1)))
        elif kind == "turned":
            file[name] = values.T
        elif kind == "enormous":
            shape = tuple(max(n, 1) * 10 ** chance.choice((2, 3, 5)) for n in values.shape) or (
                10**10,
            )
            chunks = tuple(min(n, 16) for n in shape)
            file.create_dataset(name, shape, dtype=values.dtype, chunks=chunks)
        else:
            filters = chance.choice((
                {"compression": "gzip"}, {"fletcher32": True}, {"shuffle": True},
                {"compression": "lzf"},
            ))  # fmt: skip
            data = np.atleast_1d(values)
            file.create_dataset(name, data=data, chunks=True, **filters)
    keeps = kind == "chunked" and values.ndim > 0
    return Damage(f"{name} is {kind}", keeps=keeps)


def values(path: Path, chance: random.Random) -> Damage:
    """Numbers that are not finite, or a coordinate out of order."""
    file, name = _dataset(path, chance)
    with file:
        if not name or file[name].ndim == 0 or not np.issubdtype(file[name].dtype, np.floating):
            return Damage("nothing to change", keeps=True)
        data = file[name][...]
        kind = chance.choice(("nan", "inf", "huge", "tiny", "reversed", "constant"))
        flat = data.reshape(-1)
        if kind in ("nan", "inf"):
            flat[chance.randrange(flat.size) if flat.size else 0] = float(kind)
        elif kind in ("huge", "tiny"):
            flat *= 1e30 if kind == "huge" else 1e-30
        elif kind == "reversed":
            data = data[::-1]
        else:
            flat[:] = flat[0]
        file[name][...] = data
    return Damage(f"{name} holds {kind} values")


def attributes(path: Path, chance: random.Random) -> Damage:
    """An attribute removed, of another type, or enormous."""
    with h5py.File(path, "r+") as file:
        owners = [n for n in [*_groups(file), *_datasets(file)] if len(file[n].attrs)]
        if not owners:
            return Damage("nothing to change", keeps=True)
        owner = chance.choice([*owners, "/"] if "/" in owners else owners)
        name = chance.choice(sorted(file[owner].attrs))
        attrs = file[owner].attrs
        kind = chance.choice(("removed", "number", "text", "bytes", "list", "empty", "null", "long",
                              "not text", "array", "reference", "truth"))  # fmt: skip
        old = attrs[name]
        del attrs[name]
        if kind == "number":
            attrs[name] = chance.choice((1, 2.5, -1, float("nan")))
        elif kind == "text":
            attrs[name] = chance.choice(
                ("", "x", "null", "[]", "{}", "NaN", '"a"', "{", "a: [b", "0")
            )
        elif kind == "bytes":
            attrs[name] = np.bytes_(str(old).encode()[:60_000])
        elif kind == "list":
            attrs[name] = [str(old)[:20_000]] * 2
        elif kind == "empty":
            attrs[name] = np.array([], dtype="f4")
        elif kind == "null":
            attrs[name] = h5py.Empty("f4")
        elif kind == "long":
            attrs[name] = "[" * 60_000
        elif kind == "not text":
            attrs[name] = np.bytes_(b"\xff\xfe{" + b"\x80" * 20)
        elif kind == "array":
            attrs[name] = np.zeros((3, 3), "i8")
        elif kind == "reference":
            attrs[name] = file["/"].ref
        elif kind == "truth":
            attrs[name] = True
    return Damage(f"attribute {name} of {owner}: {kind}")


def records(path: Path, chance: random.Random) -> Damage:
    """A value in one of fdiff's own records, which are JSON, or in PDEBench's, which is YAML."""
    import yaml

    with h5py.File(path, "r+") as file:
        known = [
            (owner, name)
            for owner in _groups(file)
            for name in sorted(file[owner].attrs)
            if name in ("fdiff", "config") or name.startswith("fdiff_records")
        ]
        if not known:
            return Damage("nothing to change", keeps=True)
        owner, name = chance.choice([*known, *[k for k in known if k[0] == "/"] * 20])
        text = file[owner].attrs[name]
        load, dump = (
            (yaml.safe_load, yaml.safe_dump) if name == "config" else (json.loads, json.dumps)
        )
        tree, what, _, _ = mutated(load(text), chance)
        changed = dump(tree)
        if len(changed) > 60_000:
            return Damage("nothing to change", keeps=True)
        file[owner].attrs[name] = changed.replace("\0", "")
    return Damage(f"{name} of {owner}: {what}")


def links(path: Path, chance: random.Random) -> Damage:
    """A group or dataset that becomes a link: to another name, to another file, to itself."""
    outside = surroundings(path)
    victim = chance.choice((str(outside / "victim.h5"), "../outside/victim.h5"))
    with h5py.File(path, "r+") as file:
        names = sorted({*_groups(file), *_datasets(file)} - {"/"})
        if not names:
            return Damage("nothing to change", keeps=True)
        name = chance.choice(names)
        whole = isinstance(file[name], h5py.Group)
        kind = chance.choice((
            "soft", "dangling", "loop", "hard", "cycle", "external", "external",
            "external missing", "external device", "external pipe", "external self",
            "raw outside", "raw outside", "virtual", "virtual", "chain",
        ))  # fmt: skip
        inner = "/0000" if whole else "/0000/data"
        if kind in ("raw outside", "virtual") and whole:
            kind = "external"
        old = None if whole else (file[name].shape, file[name].dtype)
        if kind == "cycle" and whole:
            file[name]["inside"] = file["/"]
            return Damage(f"{name} holds the root", keeps=True)
        if kind == "hard":
            other = chance.choice(names)
            if other == name or other.startswith(name + "/") or name.startswith(other + "/"):
                return Damage("nothing to change", keeps=True)
            thing = file[other]
            del file[name]
            file[name] = thing
            return Damage(f"{name} is another name of {other}")
        if kind == "soft":
            file.move(name, "/elsewhere")
            file[name] = h5py.SoftLink("/elsewhere")
            return Damage(f"{name} is a soft link within the file")
        del file[name]
        forbidden = "it leads outside"
        if kind == "dangling":
            file[name] = h5py.SoftLink("/nowhere")
            forbidden = ""
        elif kind in ("loop", "cycle"):
            file[name] = h5py.SoftLink("/" + name)
            forbidden = ""
        elif kind == "external":
            file[name] = h5py.ExternalLink(victim, inner)
        elif kind == "external missing":
            file[name] = h5py.ExternalLink("nowhere.h5", inner)
            forbidden = ""
        elif kind == "external device":
            file[name] = h5py.ExternalLink("/dev/zero", inner)
        elif kind == "external pipe":
            file[name] = h5py.ExternalLink(str(outside / "pipe"), inner)
        elif kind == "external self":
            file[name] = h5py.ExternalLink(path.name, "/")
        elif kind == "chain":
            file["door"] = h5py.ExternalLink(victim, "/")
            file[name] = h5py.SoftLink("/door" + inner)
        elif kind == "raw outside" and old is not None:
            size = int(np.prod(old[0])) * old[1].itemsize
            place = chance.choice((str(outside / "notes.txt"), "../outside/notes.txt", "/dev/zero"))
            if old[1].hasobject or not size:
                return Damage("a dataset was removed")
            file.create_dataset(name, old[0], old[1], external=[(place, 0, size)])
        elif kind == "virtual" and old is not None:
            if old[1].hasobject:
                return Damage("a dataset was removed")
            layout = h5py.VirtualLayout(old[0], old[1])
            if old[0]:
                layout[...] = h5py.VirtualSource(victim, inner, shape=old[0])
            file.create_virtual_dataset(name, layout)
    used = name.split("/")[-1] not in ("mask",) and "boundary" not in name and "scalars" not in name
    return Damage(
        f"{name} is a link: {kind}",
        forbidden=forbidden if used and not name.startswith(("t1", "t2")) else "",
    )


def names(path: Path, chance: random.Random) -> Damage:
    """Groups and datasets with other names, too many, or too few."""
    with h5py.File(path, "r+") as file:
        kind = chance.choice(("renamed", "renamed", "removed", "removed", "removed", "more", "many",
                              "empty group", "root data"))  # fmt: skip
        known = sorted({*_groups(file), *_datasets(file)} - {"/"})
        if not known:
            return Damage("nothing to change", keeps=True)
        name = chance.choice(known)
        if kind == "renamed":
            new = chance.choice(("zzzz", "run_a", "é", "x" * 4000, "a.b", " ", "0", "-1", "1e3",
                                 "9" * 30, "data", "grid", "t0_fields", "..", "\n"))  # fmt: skip
            above = name.rpartition("/")[0]
            place = f"{above}/{new}" if above else new
            if place in file:
                return Damage("nothing to change", keeps=True)
            file.move(name, place)
            return Damage(f"{name} is called {new!r:.20}")
        if kind == "removed":
            del file[name]
            return Damage(f"{name} removed")
        if kind == "more":
            file["9998/data"] = np.zeros((1, 4, 4, 1), "f4")
            return Damage("a sample of another shape added")
        if kind == "many":
            for i in range(500):
                file.create_group(f"extra{i}")
            return Damage("five hundred empty groups added")
        if kind == "empty group":
            file.create_group(chance.choice(("0000x", "!", "t0_fields", "dimensions")) + "_")
            return Damage("an empty group added")
        file["loose"] = np.zeros(3)
        return Damage("a dataset beside the samples added")


def sizes(path: Path, chance: random.Random) -> Damage:
    """Counts in the structure: the number of trajectories, of dimensions, of names."""
    with h5py.File(path, "r+") as file:
        if "t0_fields" in file:
            group = file["t0_fields"]
            kind = chance.choice(("no names", "wrong name", "twice", "many"))
            known = [str(n) for n in group.attrs["field_names"]]
            changed = {"no names": [], "wrong name": ["x"], "twice": known * 2,
                       "many": [f"f{i}" for i in range(2000)]}[kind]  # fmt: skip
            group.attrs["field_names"] = np.array(changed, dtype=h5py.string_dtype())
            return Damage(f"field_names: {kind}")
        first = sorted(file)[0]
        copies = chance.choice((1, 30))
        for i in range(copies):
            if not isinstance(file.get(first, getlink=True), h5py.HardLink):
                return Damage("nothing to change", keeps=True)
            file.copy(first, f"{5000 + i}")
        return Damage(f"the first sample {copies} times more")


HDF5: tuple[Damager, ...] = (
    *BYTES, *BYTES, *[types] * 4, *[shapes] * 4, *[values] * 2, *[attributes] * 4, *[records] * 8,
    *[links] * 6, *[names] * 3, sizes,
)  # fmt: skip
