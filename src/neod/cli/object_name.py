"""The argument OBJECT or KIND of a command, as it is typed."""

from argparse import ArgumentTypeError
from typing import Final

from neod.control.verb import LONGEST_TEXT

OBJECT: Final = "whatever a command prints: neo3, rule:11003, 11003, an address, a forward"


def object_name(text: str) -> str:
    """Return *text* if it can name something: what is empty, endless or holds control characters cannot.

    Raises:
        ArgumentTypeError: it cannot.
    """
    if not text.strip() or not text.isprintable() or len(text) > LONGEST_TEXT:
        raise ArgumentTypeError("no object has such a name: write what neodctl status or show prints")
    return text
