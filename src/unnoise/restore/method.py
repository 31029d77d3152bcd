"""An entry of the table of restoration methods: what it is for, and where it is built."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from unnoise.errors import InputError, MissingExtra, unknown

if TYPE_CHECKING:
    from torch import Tensor

    from unnoise.denoiser import Denoiser


@dataclass(frozen=True)
class Method:
    """A restoration method by name; nothing heavy is imported until `create` is called.

    Attributes
    ----------
    name : as typed after `--method`.
    summary : one line for lists.
    build : "module:Class" of the `Denoiser`; its keyword arguments are the method's options.
    kinds : kinds of data it takes.
    noise : the noise it is for.
    needs_sigma : whether it must be told the noise level (when not given, it is estimated first).
    source : the paper, and the library that does the work.
    extra : name of the optional dependency it needs.
    adapt : "module:function" that learns from noisy pictures alone: `(pictures, minutes, **options) -> options`.
    """

    name: str
    summary: str
    build: str
    noise: str
    source: str
    kinds: tuple[str, ...] = ("photo",)
    needs_sigma: bool = True
    extra: str | None = None
    adapt: str | None = None

    def create(self, **options: Any) -> Denoiser:
        """The denoiser, built with `options`.

        Raises
        ------
        InputError : an option it does not have (the nearest one is suggested), or a value it cannot use.
        MissingExtra : its optional library is not installed.
        """
        builder = self._found(self.build)
        check_options(builder, self.name, options)
        return builder(**options)

    def adapted(self, pictures: Sequence[Tensor], minutes: float, **options: Any) -> dict[str, Any]:
        """The options with which `create` builds what has learnt from noisy pictures (C, H, W) with white at 1.

        Raises
        ------
        InputError : the method does not learn, or an option that its learning does not have.
        MissingExtra : an optional library is not installed.
        """
        if self.adapt is None:
            raise InputError(f"method {self.name} does not learn from pictures: leave adapt out")
        learn = self._found(self.adapt)
        check_options(learn, self.name, options)
        try:
            return dict(learn(pictures, minutes, **options))
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("lightning"):
                raise MissingExtra("train") from error
            raise

    def _found(self, where: str) -> Any:
        module, _, name = where.partition(":")
        try:
            return getattr(import_module(module), name)
        except ImportError as error:
            if (getattr(error, "name", None) or "").startswith("lightning"):
                raise MissingExtra("train") from error
            if self.extra is None:
                raise
            raise MissingExtra(self.extra) from error


def check_options(builder: Any, name: str, options: Mapping[str, Any]) -> None:
    """Raise `InputError` for an option that the builder of method `name` does not have; the nearest is suggested."""
    known = list(inspect.signature(builder).parameters)
    for option in options:
        if option not in known:
            if known:
                raise unknown(f"option of method {name}", option, known)
            raise InputError(f"method {name} has no options: leave {option} out")
