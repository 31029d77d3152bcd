"""Checkpoints of diffusers as denoisers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unnoise.denoiser import Card, Denoiser, as_denoiser
from unnoise.errors import InputError
from unnoise.generate.hf.process import process, read_config

ARCHITECTURES = ("UNet2DModel", "UNet2DConditionModel", "DiTTransformer2DModel")
OURS = "Network"  # a denoiser of this library that `save` wrote
FOLDERS = ("", "unet", "transformer")


def from_diffusers(
    model: str | Path | nn.Module,
    scheduler: Any = None,
    *,
    signed: bool | None = None,
    null: int | Tensor | None = None,
    device: str | torch.device = "cpu",
) -> Denoiser:
    """A checkpoint of diffusers as a `Denoiser`.

    Parameters
    ----------
    model : a folder (of a pipeline, or of the network alone) or the network: `UNet2DModel`, with classes or without,
        `UNet2DConditionModel`, or `DiTTransformer2DModel`.
    scheduler : the scheduler, its configuration or its folder, which says what the network predicts and of which
        process; by default the `scheduler/` of the same folder.
    signed : the network lives on [-1, 1] and the denoiser is to live on [0, 1], with noise levels halved. By default
        so for pictures of one or three channels; for others (latents) the network's own units stay.
    null : what means no condition: a class, or the prompt embedding (1, length, width) of the empty prompt. A DiT has
        its own.

    Returns
    -------
    Denoiser : with the condition `label` (B,) of a network with classes, `embedding` (B, length, width) of one that
        takes prompt embeddings, none otherwise.

    Raises
    ------
    InputError : a missing folder, file or weight, another architecture, an unknown prediction type.
    """
    config = None if scheduler is None else read_config(scheduler)
    if isinstance(model, nn.Module):
        if config is None:
            raise InputError("a network alone does not say what it predicts: pass its scheduler too")
        net: Any = model
    else:
        if not Path(model).is_dir():
            raise InputError(f"there is no folder {model}: from_diffusers takes one that save_pretrained wrote")
        config = read_config(model) if config is None else config
        net = _load(Path(model))
    if type(net).__name__ == OURS:
        ours: Denoiser = net.denoiser.to(device).eval()
        return ours
    if (name := type(net).__name__) not in ARCHITECTURES:
        raise InputError(f"networks of {', '.join(ARCHITECTURES)} become denoisers, not {name}")
    found = process(config)
    adapted = _Adapted(net.to(device).eval(), found.sign)
    channels = int(net.config.in_channels)
    signed = channels in (1, 3) if signed is None else signed
    low, high = found.sigma_range
    card = Card(
        kind="any",
        channels=channels,
        value_range=(0.0, 1.0) if signed else None,
        sigma_range=(low / 2, high / 2) if signed else (low, high),
        conditions=(adapted.condition,) if adapted.condition else (),
    )
    none = adapted.null if null is None else null
    known = {adapted.condition: none} if adapted.condition and none is not None else None
    adapted.null = none
    denoiser = as_denoiser(adapted, found.param, found.schedule, signed=signed, card=card, null=known, clip=found.clip)
    side = net.config.get("sample_size")
    denoiser.size = side if isinstance(side, int) else None  # type: ignore[assignment] # as `generate` asks for it
    denoiser.classes = adapted.classes  # type: ignore[assignment]
    denoiser.scheduler_config = config  # type: ignore[assignment] # what `save` writes beside the weights
    return denoiser.eval()


class _Adapted(nn.Module):
    """A network of diffusers, called as `net(x_t, t, **conditions)`."""

    def __init__(self, net: Any, sign: float) -> None:
        super().__init__()
        self.net, self.sign = net, sign
        config = net.config
        self.condition = ""
        self.classes, self.null = 0, None
        if type(net).__name__ == "UNet2DConditionModel":
            if config.get("addition_embed_type") or config.get("class_embed_type") or config.get("num_class_embeds"):
                raise InputError("this network takes more than a prompt embedding: use wrap_denoiser on its pipeline")
            self.condition, self.width = "embedding", int(config.cross_attention_dim)
        elif type(net).__name__ == "DiTTransformer2DModel":
            self.condition, self.classes = "label", int(config.num_embeds_ada_norm)
            self.null = self.classes
        elif config.get("num_class_embeds"):
            self.condition, self.classes = "label", int(config.num_class_embeds)
        elif config.get("class_embed_type"):
            raise InputError(f"class embeddings of type '{config.class_embed_type}' are not known here")

    null: Any

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None, embedding: Tensor | None = None) -> Tensor:
        """Output for x (B, C, H, W) at times t (B,)."""
        if self.condition == "embedding":
            given = self._filled(embedding, x, "a prompt embedding")
            if given.shape[-1] != self.width:
                raise InputError(f"prompt embeddings must be {self.width} wide for this network, not {given.shape[-1]}")
            out = self.net(x, t, encoder_hidden_states=given.to(x.dtype), return_dict=False)[0]
        elif self.condition == "label":
            given = self._filled(label, x, "a class")
            last = self.classes - 1 if self.null != self.classes else self.classes
            if not bool(((given >= 0) & (given <= last)).all()):
                wrong = int(given[(given < 0) | (given > last)][0])
                raise InputError(f"a class must be 0 to {self.classes - 1}, got {wrong}")
            out = self.net(x, timestep=t, class_labels=given, return_dict=False)[0]
        else:
            out = self.net(x, t, return_dict=False)[0]
        return self.sign * out if self.sign != 1 else out

    def _filled(self, given: Tensor | None, x: Tensor, what: str) -> Tensor:
        """The condition of every sample; what means none where it is not given."""
        if given is None:
            if self.null is None:
                raise InputError(f"this network needs {what} for every sample: pass {self.condition}=, or null= once")
            given = torch.as_tensor(self.null, device=x.device)
            given = given.expand(len(x)) if given.ndim == 0 else given.expand(len(x), *given.shape[1:])
        if len(given) != len(x):
            raise InputError(f"there are {len(given)} values of {self.condition} for {len(x)} samples")
        return given.to(x.device)


def _load(folder: Path) -> nn.Module:
    """The network in a folder, by the class that its configuration names; nothing is downloaded."""
    import diffusers

    place = next((folder / f for f in FOLDERS if (folder / f / "config.json").is_file()), None)
    if place is None:
        raise InputError(
            f"{folder} holds no network of diffusers: config.json is missing there, in unet/, transformer/"
        )
    try:
        name = json.loads((place / "config.json").read_text(encoding="utf-8")).get("_class_name", "")
    except (OSError, ValueError, AttributeError):
        raise InputError(f"{place / 'config.json'} is not a configuration: copy or download it again") from None
    if name not in (*ARCHITECTURES, OURS):
        raise InputError(f"{place} holds the architecture '{name}'; {', '.join(ARCHITECTURES)} become denoisers")
    from unnoise.generate.hf.network import Network

    try:
        cls: Any = Network if name == OURS else getattr(diffusers, name)
        net: nn.Module = cls.from_pretrained(place, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"the weights in {place} are missing or do not fit its {name}: {first}") from None
    return net
