"""How people read a field of a spec: metadata for ``dataclasses.field``. Pure."""

from collections.abc import Mapping
from typing import Final

HOW: Final = "shown"

NEVER: Final[Mapping[str, str]] = {HOW: "never"}
"""It tells a driver how to write, and not what the object is."""

IF_UNUSUAL: Final[Mapping[str, str]] = {HOW: "if unusual"}
"""Its default says nothing; it is shown where the other side of a change differs."""

AS_TIME_LEFT: Final[Mapping[str, str]] = {HOW: "as time left"}
"""An instant of CLOCK_BOOTTIME."""
