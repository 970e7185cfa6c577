"""What a name of a systemd unit may be. Pure."""

import re
from typing import Final

from neod.features.validation.checks import InvalidValue, each, first_twice, text
from neod.features.validation.text import show

CHARACTERS: Final = 255
NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_:.\\-]*"
PATTERN: Final = rf"(?!neod\.service$)(?=.{{1,{CHARACTERS}}}$){NAME}(@[A-Za-z0-9_:.\\-]+)?\.(service|socket|target)"
"""Source: systemd.unit(5), and unit-name.c: VALID_CHARS, UNIT_NAME_MAX. No wildcards: ``systemctl`` expands them."""

EXAMPLE: Final = 'write e.g. "v2ray.service"'


def names(value: object) -> tuple[str, ...]:
    """Return a list of different units, each with its type."""
    if not isinstance(value, list | tuple):
        raise InvalidValue(f"{show(value)} is not a list in brackets", 'write e.g. ["v2ray.service"]')
    found: tuple[str, ...] = each(name, value)
    if twice := first_twice(found):
        raise InvalidValue(f"{show(twice)} stands there twice", "write each unit once")
    return found


def name(value: object) -> str:
    """Return a unit that can be restarted."""
    given = text(value)
    if re.fullmatch(PATTERN, given):
        return given
    if given in ("neod", "neod.service"):
        raise InvalidValue("neod cannot restart itself", "name the unit of the program that lives in the namespace")
    if re.fullmatch(r"[^/@]+@\.service", given):
        raise InvalidValue(f"{show(given)} is a template", f'write an instance, e.g. "{given.replace("@", "@1")}"')
    if re.fullmatch(NAME, given) and "." not in given:
        raise InvalidValue(f"{show(given)} does not say what kind of unit it is", f'write "{given}.service"')
    raise InvalidValue(f"{show(given)} is not a unit that can be restarted", EXAMPLE)
