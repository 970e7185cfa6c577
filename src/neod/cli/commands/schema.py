"""JSON Schema of the file"""

from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.exits import FINE


def _schema(invocation: Invocation) -> int:
    """Print the JSON Schema of the file, for editors: `#:schema FILE` in its first line."""
    from neod.config.load import json_schema

    invocation.print_json(json_schema())
    return FINE


COMMAND: Final = Command(_schema)
