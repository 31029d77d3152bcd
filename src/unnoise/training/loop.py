"""The one training loop: readable, resumable after any kind of stop, the same curve on one process or many."""

from __future__ import annotations

import atexit
import copy
import csv
import io
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from unnoise.data.files import write_whole
from unnoise.errors import InputError, UnnoiseError
from unnoise.training.checkpoint import load_checkpoint, save_checkpoint
from unnoise.training.muon import Muon
from unnoise.training.options import FitOptions, ema_decay, learning_rate

Batch = dict[str, Tensor]
CHECKPOINT = "checkpoint.safetensors"
LOG = "log.csv"


@dataclass(frozen=True)
class Progress:
    """Where a training is: told after every step."""

    step: int
    steps: int
    loss: float
    lr: float
    evaluation: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Fitted:
    """What `fit` returns: the averaged network, steps and seconds over all sittings, whether the schedule ended."""

    net: nn.Module
    step: int
    seconds: float
    finished: bool


def fit(
    net: nn.Module,
    loss_of: Callable[[nn.Module, Batch], Tensor],
    batch_at: Callable[[int], Batch],
    out: Path,
    options: FitOptions,
    *,
    config: dict[str, Any] | None = None,
    resume: bool | Path = False,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train `net` with AdamW or Muon, gradient clipping, a scheduled learning rate and averaged weights.

    Under `torchrun` every process takes its share of each batch, and the gradients are averaged.

    Parameters
    ----------
    loss_of : `(net, batch) -> loss`, a mean over the samples of the batch.
    batch_at : step k to the tensors of the whole batch, samples first; a pure function of k, which is what makes a
        resumed run equal to one that never stopped.
    out : folder of `checkpoint.safetensors` (weights, averaged weights, optimiser, step) and `log.csv`.
    config : stored in the checkpoint, for the reader.
    resume : continue from the checkpoint in `out`, or from another checkpoint file.
    evaluate : averaged network to named numbers, written to the log.
    progress : called after every step.

    Raises
    ------
    InputError : a checkpoint is there and `resume` is not set, or the batch does not divide among the processes.
    KeyboardInterrupt : Ctrl-C or SIGTERM, after the checkpoint has been written.
    """
    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and resume is not True:
        raise InputError(f"{checkpoint} is there from an earlier run: pass --resume, or another folder as --out")
    fabric = _fabric(options)
    if all(p.ndim <= 4 for p in net.parameters()):  # networks of three dimensions have no such layout
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    ema = copy.deepcopy(net).requires_grad_(False).eval().to(fabric.device)
    model, optimizer = fabric.setup(net, _optimizer(net, options))
    done: dict[str, Any] = {"step": 0, "seconds": 0.0, "loss_sum": 0.0, "loss_steps": 0}
    if resume is not False:
        source = checkpoint if resume is True else resume
        done |= load_checkpoint(source, net, ema, optimizer.optimizer)
    log = _Log(out / LOG, done["step"], fabric.is_global_zero)
    parameters: list[Tensor] = list(net.parameters())
    averaged: list[Tensor] = list(ema.parameters())
    started = saved_at = time.monotonic()

    def state(k: int) -> dict[str, Any]:
        seconds = done["seconds"] + time.monotonic() - started
        return {"step": k, "seconds": seconds, "loss_sum": loss_sum, "loss_steps": loss_steps, "config": config or {}}

    def save(k: int) -> None:
        if fabric.is_global_zero:
            save_checkpoint(checkpoint, net, ema, optimizer.optimizer, state(k))

    loss_sum, loss_steps = float(done["loss_sum"]), int(done["loss_steps"])
    first, k = done["step"], done["step"]
    with _stop_signals() as stop:
        for k in range(first + 1, options.steps + 1):
            lr = learning_rate(k - 1, options)
            for group in optimizer.param_groups:
                group["lr"] = lr
            batch = {name: fabric.to_device(part) for name, part in _share(batch_at(k - 1), fabric).items()}
            model.train()
            loss = loss_of(model, batch)
            optimizer.zero_grad(set_to_none=True)
            fabric.backward(loss)
            fabric.clip_gradients(model, optimizer, max_norm=options.clip, error_if_nonfinite=False)
            mean_loss = _mean(loss, fabric)
            if not math.isfinite(mean_loss):
                raise UnnoiseError(
                    f"the loss became {mean_loss} at step {k}: lower fit.lr or fit.clip and resume from {checkpoint}"
                )
            optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(averaged, parameters, 1 - ema_decay(k - 1, options))
                for mean, buffer in zip(ema.buffers(), net.buffers(), strict=True):
                    mean.copy_(buffer)

            loss_sum, loss_steps = loss_sum + mean_loss, loss_steps + 1
            last = k == options.steps
            evaluation: dict[str, float] = {}
            if evaluate and (last or k % options.evaluate_every == 0):
                evaluation = evaluate(ema)
            if last or evaluation or k % options.log_every == 0:
                log.row(
                    {"step": k, "seconds": state(k)["seconds"], "loss": loss_sum / loss_steps, "lr": lr} | evaluation
                )
                loss_sum, loss_steps = 0.0, 0
            if progress and fabric.is_global_zero:
                progress(Progress(k, options.steps, mean_loss, lr, evaluation))
            now = time.monotonic()
            ended = options.max_minutes is not None and now - started >= 60 * options.max_minutes
            interrupted, ended = _agreed(fabric, bool(stop), ended)
            if last or interrupted or ended or now - saved_at >= 60 * options.save_minutes:
                save(k)
                saved_at = now
            if interrupted:
                raise KeyboardInterrupt(f"saved at step {k}")
            if ended:
                break
    return Fitted(ema, k, state(k)["seconds"], finished=k >= options.steps)


def _fabric(options: FitOptions) -> Fabric:
    """One process on the best device, or the processes that `torchrun` started."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    nodes = int(os.environ.get("WORLD_SIZE", "1")) // local
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)  # which backend it took is no news to our users
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    strategy = "ddp" if local * nodes > 1 else "auto"
    fabric = Fabric(
        accelerator=accelerator, strategy=strategy, devices=local, num_nodes=nodes, precision=options.precision
    )
    fabric.launch()
    if fabric.world_size > 1:
        atexit.register(_leave)
    if options.batch % fabric.world_size:
        raise InputError(
            f"a batch of {options.batch} does not divide among {fabric.world_size} processes: set fit.batch to a "
            "multiple"
        )
    return fabric


def _leave() -> None:
    """Close the connections to the other processes before the interpreter ends: open ones can abort it then."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _optimizer(net: nn.Module, options: FitOptions) -> torch.optim.Optimizer:
    """Weight decay acts on matrices and convolutions, never on scales and offsets."""
    weights = [p for p in net.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in net.parameters() if p.requires_grad and p.ndim <= 1]
    hidden = weights[1:-1] if options.optimizer == "muon" else []
    groups: list[dict[str, Any]] = [
        {"params": [p for p in weights if not any(p is h for h in hidden)], "weight_decay": options.weight_decay},
        {"params": others, "weight_decay": 0.0},
        {"params": hidden, "weight_decay": options.weight_decay, "orthogonal": True},
    ]
    kind = Muon if options.optimizer == "muon" else torch.optim.AdamW
    return kind([g for g in groups if g["params"]], lr=options.lr, betas=(0.9, options.beta2), fused=True)


def _share(batch: Batch, fabric: Fabric) -> Batch:
    """The part of a batch that this process works on."""
    if fabric.world_size == 1:
        return batch
    return {name: part.chunk(fabric.world_size)[fabric.global_rank] for name, part in batch.items()}


def _mean(loss: Tensor, fabric: Fabric) -> float:
    if fabric.world_size == 1:
        return loss.item()
    total = fabric.all_reduce(loss.detach(), reduce_op="sum")
    return float(torch.as_tensor(total)) / fabric.world_size


def _agreed(fabric: Fabric, *flags: bool) -> tuple[bool, ...]:
    """True where any process says so: clocks and signals differ between processes, and all must stop at one step."""
    if fabric.world_size == 1:
        return flags
    total = fabric.all_reduce(torch.tensor(flags, dtype=torch.float32, device=fabric.device), reduce_op="sum")
    return tuple(bool(x) for x in torch.as_tensor(total))


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that Ctrl-C or SIGTERM fills, so that a step is never cut; a second Ctrl-C stops at once."""
    caught: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        for each in (signal.SIGINT, signal.SIGTERM):
            before[each] = signal.signal(each, note)
    except ValueError:
        pass  # not in the main thread, where signals do not arrive
    try:
        yield caught
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class _Log:
    """The CSV log; on resuming, rows beyond the checkpoint are dropped, for they will be written again."""

    def __init__(self, path: Path, step: int, active: bool) -> None:
        self.path, self.active, self.rows = path, active, []
        if active and step and path.exists():
            with path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]

    rows: list[dict[str, Any]]

    def row(self, values: dict[str, Any]) -> None:
        if not self.active:
            return
        self.rows.append({name: f"{x:.6g}" if isinstance(x, float) else x for name, x in values.items()})
        names = dict.fromkeys(name for row in self.rows for name in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_whole(self.path, text.getvalue().encode())
