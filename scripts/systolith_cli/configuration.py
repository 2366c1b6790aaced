"""From the text of `--config` to a configuration."""

import json
from dataclasses import fields
from pathlib import Path

from systolith_spec.config import AcceleratorConfig, ConfigurationError
from systolith_spec.presets import preset

__all__ = ["find_config"]


def find_config(text: str) -> AcceleratorConfig:
    """A preset, a geometry, or a JSON file with the fields of `AcceleratorConfig`.

    The file may name a preset under "preset"; its other fields then replace that preset's.

    Raises
    ------
    ConfigurationError
    """
    path = Path(text)
    if path.suffix != ".json":
        return preset(text)
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"Cannot read configuration {text}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"Configuration {text} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigurationError(f"Configuration {text} must be a JSON object of fields")
    base = values.pop("preset", None)
    values = {"name": path.stem, **({**preset(base).as_dict(), "name": path.stem} if base is not None else {}), **values}
    known = {field.name: field for field in fields(AcceleratorConfig)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigurationError(f"Configuration {text}: there is no field {unknown[0]!r}; fields are {', '.join(known)}")
    missing = [name for name in ("rows", "cols", "activation_bytes", "weight_bytes", "vector_lanes") if name not in values]
    if missing:
        raise ConfigurationError(f"Configuration {text}: field {missing[0]!r} is missing")
    return AcceleratorConfig(**values)
