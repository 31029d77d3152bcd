"""Our denoisers as networks that diffusers' schedulers and pipelines can ask, and as folders that it can open."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import Tensor, nn

from unnoise.denoiser import Denoiser
from unnoise.errors import InputError
from unnoise.generate.hf.process import SCHEDULER_FILE, process, read_config
from unnoise.noise.schedule import DiscreteVP
from unnoise.zoo.files import ARCHITECTURES, load
from unnoise.zoo.header import find, read_header


class Network(ModelMixin, ConfigMixin):
    """A denoiser that answers like a network of diffusers: `net(x_t, t, class_labels).sample`.

    Made by `to_scheduler`, or opened with `Network.from_pretrained` from a folder that `save` wrote.

    Parameters
    ----------
    arch, arch_config : key of `zoo.ARCHITECTURES` and its configuration; without them the denoiser is put in later.
    scheduler : configuration of the scheduler it answers to.
    in_channels, sample_size, num_class_embeds : what pipelines read.
    """

    @register_to_config
    def __init__(
        self,
        arch: str | None = None,
        arch_config: dict[str, Any] | None = None,
        scheduler: dict[str, Any] | None = None,
        in_channels: int = 1,
        sample_size: int | None = None,
        num_class_embeds: int | None = None,
    ) -> None:
        super().__init__()
        self.denoiser: Any = nn.Identity()
        if arch is not None:
            if arch not in ARCHITECTURES:
                raise InputError(f"the architecture '{arch}' is not known to this unnoise: upgrade it")
            module, _, name = ARCHITECTURES[arch].partition(":")
            self.denoiser = getattr(importlib.import_module(module), name)(**(arch_config or {}))
        self.process = process(scheduler or {"_class_name": "EDMEulerScheduler"})
        self.asked: Any = None

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        class_labels: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        return_dict: bool = True,
    ) -> Any:
        """What the scheduler expects of a network for `sample` (B, C, H, W), its own scaled input, at `timestep`."""
        sigma = self._level(timestep).reshape(-1, *(1,) * (sample.ndim - 1))
        y = sample.double() / self.process.scale(sigma)
        given = {"label": class_labels, "embedding": encoder_hidden_states}
        conditions = {name: value for name, value in given.items() if value is not None}
        signed = self.denoiser.card.value_range == (0.0, 1.0)  # schedulers live on [-1, 1]
        dtype = next((p.dtype for p in self.denoiser.parameters()), sample.dtype)
        level = (sigma / 2 if signed else sigma).to(dtype).flatten().expand(len(sample))
        x_hat = self.denoiser(((y + 1) / 2 if signed else y).to(dtype), level, **conditions).double()
        out = self.process.output(2 * x_hat - 1 if signed else x_hat, sample, sigma).to(sample.dtype)
        return UNet2DOutput(sample=out) if return_dict else (out,)

    def _level(self, timestep: Tensor | float) -> Tensor:
        """Noise level at a scheduler's time: its own where it tells one, as it interpolates in its own way."""
        t = torch.as_tensor(timestep, dtype=torch.float64).cpu().reshape(-1)
        if callable(own := getattr(self.asked, "noise_level", None)) and len(t) == 1:  # a scheduler of ours
            return torch.tensor([own(t)], dtype=torch.float64)
        sigmas, times = getattr(self.asked, "sigmas", None), getattr(self.asked, "timesteps", None)
        if sigmas is not None and times is not None and len(t) == 1 and len(sigmas) > len(times):
            near = (times.double().cpu() - t).abs()
            i = int(near.argmin())
            if near[i] < 1e-3:
                s = sigmas[i].double().reshape(1)
                return s / (1 - s).clamp(min=1e-7) if self.process.param == "flow" else s
        schedule = self.process.schedule
        if isinstance(schedule, DiscreteVP):
            k = t.floor().long().clamp(0, len(schedule.sigmas) - 2)
            return torch.lerp(schedule.sigmas[k], schedule.sigmas[k + 1], t - k)
        return schedule.sigma(t)


def to_scheduler(denoiser: Denoiser, scheduler: Any, *, sample_size: int | None = None) -> Network:
    """A denoiser as the network whose output a scheduler of diffusers expects.

    Parameters
    ----------
    denoiser : `D(y, sigma)`; one on [0, 1] is asked on [-1, 1], where schedulers live.
    scheduler : the scheduler (asked for its noise levels), its configuration or its folder.
    sample_size : height and width, for pipelines that ask for it.

    Raises
    ------
    InputError : a scheduler that has no counterpart here.
    """
    size = getattr(denoiser, "size", None) if sample_size is None else sample_size
    network = Network(
        scheduler=read_config(scheduler),
        in_channels=denoiser.card.channels or 1,
        sample_size=size,
        num_class_embeds=getattr(denoiser, "classes", None),
    )
    network.denoiser = denoiser
    network.asked = scheduler if hasattr(scheduler, "set_timesteps") else None
    return network.eval()


def save(folder: str | Path, model: str | Path | Denoiser) -> Path:
    """Write a model as diffusers writes one: the network in `unet/` (or `transformer/`), its scheduler in `scheduler/`.

    Parameters
    ----------
    folder : to be made; one that has files in it is refused.
    model : a shipped model or a weight file of ours, which becomes a `Network`, or a denoiser from `from_diffusers`,
        whose network is written as it is. Either is opened again with `from_diffusers(folder)`, and by the
        `from_pretrained` of the network's class.

    Raises
    ------
    InputError : the folder is not empty, or a denoiser that came from neither.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already: name a new folder")
    if isinstance(model, Denoiser):
        config = getattr(model, "scheduler_config", None)
        if config is None:
            raise InputError("a denoiser is saved by the name of its weight file: pass that, or one of from_diffusers")
        network: Any = model.net.net  # type: ignore[union-attr]
    else:
        header, denoiser = read_header(find(model)), load(model)
        schedule = getattr(denoiser, "schedule", None)
        low, high = denoiser.card.sigma_range or (0.002, 80.0)
        unit = 2.0 if denoiser.card.value_range == (0.0, 1.0) else 1.0
        config = {
            "_class_name": "EDMEulerScheduler",
            "sigma_min": unit * low,
            "sigma_max": unit * high,
            "sigma_data": getattr(schedule, "sigma_data", 0.5),
        }
        network = to_scheduler(denoiser, config)
        network.register_to_config(arch=header.arch, arch_config=header.config)
    name = "transformer" if "Transformer" in type(network).__name__ else "unet"
    network.save_pretrained(folder / name)
    (folder / "scheduler").mkdir(parents=True, exist_ok=True)
    text = json.dumps({k: v for k, v in config.items() if _plain(v)}, indent=2)
    (folder / "scheduler" / SCHEDULER_FILE).write_text(text + "\n", encoding="utf-8")
    return folder


def _plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool, list, tuple, dict, type(None)))
