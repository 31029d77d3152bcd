"""Checkpoints: one safetensors file, weights, averages, optimiser and a JSON header, replaced atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from unnoise.data.files import write_whole
from unnoise.errors import InputError


def save_checkpoint(path: Path, net: nn.Module, ema: nn.Module, optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Write everything that the next step depends on; `state` is JSON (step, seconds, configuration, ...)."""
    tensors = {f"model.{name}": value for name, value in net.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_whole(path, save(plain, metadata={"state": json.dumps(state)}))


def read_state(path: Path) -> dict[str, Any]:
    """The JSON header of a checkpoint, without its tensors."""
    return _open(path)[0]


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a training checkpoint and not, say, a weight file."""
    try:
        with safe_open(path, framework="pt") as file:
            return "state" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def load_checkpoint(path: Path, net: nn.Module, ema: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Put a checkpoint back into the three objects it came from and return its header.

    Raises `InputError` when the file is no checkpoint or one of another network.
    """
    state, tensors = _open(path)
    try:
        net.load_state_dict(_under("model.", tensors))
        ema.load_state_dict(_under("ema.", tensors))
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(
            f"checkpoint {path} is of another network ({detail}): use the preset it was made with"
        ) from None
    slots: dict[int, dict[str, Tensor]] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, value in _under("optimizer.", tensors).items():
        index, slot = name.split(".", 1)
        if value.ndim:
            # the fused optimiser walks weights and moments in memory order, so their layouts must agree
            value = torch.empty_like(parameters[int(index)], dtype=value.dtype).copy_(value)
        slots.setdefault(int(index), {})[slot] = value
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    return state


def _open(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            return state, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise InputError(f"no checkpoint {path} to resume from: start without --resume") from None
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError):
        raise InputError(f"{path} is not a training checkpoint or is damaged: delete it to start anew") from None


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
