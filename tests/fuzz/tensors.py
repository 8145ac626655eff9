"""Damage to safetensors files: their header, and the tensors as such."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

from .damage import BYTES, Damage, Damager
from .text import mutated


def header(path: Path, chance: random.Random) -> Damage:
    """A value of the JSON header, with the header's length put right or not."""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    tree, what, _, _ = mutated(json.loads(raw[8 : 8 + size]), chance)
    text = json.dumps(tree).encode()
    declared = len(text) if chance.random() < 0.9 else chance.choice((0, 2**63, 2**40, size))
    path.write_bytes(struct.pack("<Q", declared) + text + raw[8 + size :])
    return Damage(f"header: {what}, length {declared}")


def tensor(path: Path, chance: random.Random) -> Damage:
    """A tensor lost, renamed, of another shape or type, or with values that are not finite."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    name = chance.choice(sorted(tensors))
    value = tensors[name]
    kind = chance.choice((
        "lost", "renamed", "flat", "longer", "double", "whole", "nan", "inf", "new", "turned",
        "empty", "alone",
    ))  # fmt: skip
    forbidden = f"{name} is {kind}"
    if kind == "lost":
        del tensors[name]
    elif kind == "renamed":
        tensors["other." + name] = tensors.pop(name)
    elif kind == "flat":
        tensors[name] = value.reshape(-1)
        forbidden = "" if value.ndim == 1 else forbidden
    elif kind == "longer":
        tensors[name] = value[None].repeat_interleave(2, 0)
    elif kind in ("double", "whole"):
        wanted = value.double() if kind == "double" else value.int()
        forbidden = "" if wanted.dtype == value.dtype or kind == "double" else forbidden
        tensors[name] = wanted
    elif kind in ("nan", "inf"):
        value = value.clone()
        if value.is_floating_point() and value.numel():
            value.view(-1)[chance.randrange(value.numel())] = float(kind)
        else:
            forbidden = ""
        tensors[name] = value
    elif kind == "new":
        tensors["stranger"] = value.clone()
    elif kind == "turned":
        tensors[name] = value.T.contiguous() if value.ndim == 2 else value
        forbidden = forbidden if value.ndim == 2 and value.shape[0] != value.shape[1] else ""
    elif kind == "empty":
        tensors[name] = value.reshape(-1)[:0]
        forbidden = forbidden if value.numel() else ""
    else:
        tensors = {name: value}
    # A run of a few steps has few moments and losses: what follows from nothing may be absent.
    if name in ("recent_losses", "seconds"):
        forbidden = ""
    save_file({k: v.contiguous() for k, v in tensors.items()}, path)
    return Damage(f"tensor {name}: {kind}", forbidden=forbidden)


TENSORS: tuple[Damager, ...] = (*BYTES, header, header, header, *[tensor] * 8)
