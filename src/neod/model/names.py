"""What names of the kernel's objects can be. Pure."""

import re
from typing import Final

LINK_NAME_BYTES: Final = 15
"""IFNAMSIZ without its NUL. Source: include/uapi/linux/if.h."""

LINK_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""Of what the kernel takes (net/core/dev.c, dev_valid_name: no slash, colon or white space, not ``.`` or ``..``), what
no other program takes for something else: an option, a pattern, a word of a shell."""

IN_QUOTES: Final = re.compile(r'[^\s"\\*+/:\x00-\x1f\x7f-\U0010ffff]{1,15}')
"""What ``nft`` and ``iptables`` take for one interface: no end of the quotes, no ``*`` or ``+``, which mean many."""

SWITCHES: Final = ("/forwarding", "/force_forwarding")
"""How the paths of the sysctls end that decide by interface which packets pass through this host."""


def is_link_name(name: str) -> bool:
    """Whether neo names a link so."""
    return len(name) <= LINK_NAME_BYTES and LINK_NAME.fullmatch(name) is not None
