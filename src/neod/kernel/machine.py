"""Who this machine is, for MAC addresses that never change."""

import os
import secrets
from pathlib import Path
from string import hexdigits
from typing import Final

from neod.kernel.files import StateFile, read_small
from neod.model.errors import NeoError

MACHINE_ID: Final = Path("/etc/machine-id")
LEAST_LETTERS: Final = 16


def machine_id(own: StateFile) -> str:
    """Return the machine's id; where it has none, one that is made once and kept in the file *own*.

    Raises:
        NeoError: it cannot be kept: MACs would be others at each start.
    """
    if text := own.load(_id):
        return text
    try:
        found = read_small(Path(os.path.realpath(MACHINE_ID)))  # a link on some hosts; a FIFO is not waited for
        if len(text := found.decode(errors="replace").strip()) >= LEAST_LETTERS:
            return text
    except OSError:
        pass
    made = secrets.token_hex(16)
    if problem := own.save(made.encode() + b"\n"):
        raise NeoError(f"{MACHINE_ID} has no id, and one of our own cannot be kept: {problem}")
    return made


def _id(content: bytes) -> str:
    text = content.decode("ascii").strip()
    if len(text) < LEAST_LETTERS or not set(text) <= {*hexdigits, "-"}:
        raise ValueError("no id")
    return text
