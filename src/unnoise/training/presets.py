"""Presets: named scales of a training or study, checked before anything runs, with errors a person can read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from unnoise.errors import InputError, unknown

P = TypeVar("P", bound=BaseModel)


def load_preset(schema: type[P], slug: str, preset: str = "laptop", overrides: Sequence[str] = ()) -> P:
    """The checked options of one preset.

    Parameters
    ----------
    schema : pydantic model that describes them (`extra="forbid"`).
    slug : names the shipped file `presets/<slug>.yaml`, whose keys are presets.
    preset : one of those keys, or the path of a YAML file that holds one preset.
    overrides : `key=value` strings, dotted keys, values in YAML (`fit.lr=3e-4`).

    Raises
    ------
    InputError : naming the file, the key and what was expected.
    """
    path = Path(preset)
    if path.suffix in (".yaml", ".yml"):
        values, source = _read(path), str(path)
    else:
        shipped = read_presets(slug)
        if preset not in shipped:
            raise unknown("preset", preset, shipped)
        values, source = shipped[preset], f"preset '{preset}' of {slug}"
    for override in overrides:
        _apply(values, override)
        source += f" with {override}"
    return checked(schema, values, source)


def checked(schema: type[P], values: dict[str, Any], source: str) -> P:
    """The options with these values; an `InputError` that begins with `source` says what does not fit."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{source}: " + "; ".join(_sentence(item, schema) for item in error.errors())) from None


def read_presets(slug: str) -> dict[str, dict[str, Any]]:
    """The shipped presets of a slug, unchecked; keys that begin with a dot are shared parts, left out."""
    folder = Path(str(resources.files("unnoise"))) / "presets"
    path = folder / f"{slug.replace('-', '_')}.yaml"
    if not path.is_file():
        raise unknown("preset file", slug, [p.stem for p in folder.glob("*.yaml")])
    return {name: values for name, values in _read(path).items() if not name.startswith(".")}


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Yaml)
    except FileNotFoundError:
        raise InputError(f"there is no preset file {path}: check the path") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        raise InputError(f"preset file {path} is not valid YAML{line}: mend it or copy a shipped one") from None
    if not isinstance(values, dict):
        raise InputError(f"preset file {path} must hold keys and values: copy a shipped one")
    return values


class _Yaml(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as everybody expects, and not a string."""


_Yaml.yaml_implicit_resolvers = {key: list(rules) for key, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"--set takes key=value, got '{override}': for example --set fit.lr=3e-4")
    try:
        value = yaml.load(text, _Yaml)
    except yaml.YAMLError:
        raise InputError(f"--set {override}: the value is not valid YAML") from None
    *groups, last = key.split(".")
    for group in groups:
        inner = values.setdefault(group, {})
        if not isinstance(inner, dict):
            raise InputError(f"--set {override}: '{group}' is a value, not a group of keys")
        values[group] = values = dict(inner)  # a copy: presets may share groups
    values[last] = value


def _sentence(item: Any, schema: type[BaseModel]) -> str:
    """One problem found by pydantic, in words."""
    path = [str(part) for part in item["loc"]]
    key = ".".join(path)
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], _keys(schema, path[:-1]), n=1)
        hint = f", did you mean '{'.'.join([*path[:-1], near[0]])}'?" if near else ""
        return f"unknown key '{key}'{hint}"
    if item["type"] == "missing":
        return f"key '{key}' is missing"
    expected = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    subject = f"'{key}' " if key else ""
    return f"{subject}{expected}" + (f", got {item['input']!r}" if key and not isinstance(item["input"], dict) else "")


def _keys(schema: Any, path: list[str]) -> list[str]:
    for part in path:
        fields = getattr(schema, "model_fields", {})
        schema = fields[part].annotation if part in fields else None
    return list(getattr(schema, "model_fields", {}))
