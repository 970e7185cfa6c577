"""``NEO_*`` variables on top of the file, read by pydantic-settings.

Imported only where such a variable is set: the library takes as long to import as all the rest of reading a file.
"""

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from neod.config.environment import DELIMITER, PREFIX, canonical_case
from neod.config.root import root
from neod.features.validation.checks import EnvText


class Settings(BaseSettings):
    """What the model of the file is built on, for the names of the variables."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=DELIMITER, extra="forbid")


class Variables(EnvSettingsSource):
    """The variables of one environment: a source of settings that outranks the file."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(root(Settings))

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): EnvText(value) for name, value in self._environ.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Return the JSON of a list or table; what is none stays as it is, for the key's own check to refuse."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except (ValueError, RecursionError):
            return value


def overridden(file: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what *file* says, with what the variables of *environ* say over it."""
    return _over(file, Variables(environ)())


def _over(file: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(file)
    for key, value in said.items():
        name = canonical_case(key, file)
        below = merged.get(name)
        merged[name] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
