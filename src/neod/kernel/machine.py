"""Who this machine is, for MAC addresses that never change."""

import secrets
from pathlib import Path
from typing import Final

from neod.kernel.files import write_atomically

MACHINE_ID: Final = Path("/etc/machine-id")


def machine_id(state_dir: Path) -> str:
    """Return the machine's id; where it has none, one that is made once and kept in *state_dir*."""
    own = state_dir / "machine-id"
    for path in (own, MACHINE_ID):
        try:
            if len(text := path.read_text().strip()) >= 16:
                return text
        except OSError:
            continue
    made = secrets.token_hex(16)
    write_atomically(own, made.encode() + b"\n")
    return made
