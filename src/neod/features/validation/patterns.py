"""What texts the JSON Schema takes, as patterns of ECMA-262; the checks decide, and take nothing that these refuse.

Editors see most mistakes by them. What depends on two values, or on arithmetic, only the checks know: a range that runs
backwards, the network as a host.
"""

from typing import Final

from neod.features.validation.checks import MPTCP_FLAGS, NOT_LINKS, SECONDS
from neod.model.names import LINK_NAME_BYTES

NO_LINK: Final = f"(?!({'|'.join(NOT_LINKS)})$)"
LINK: Final = f"{NO_LINK}[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{LINK_NAME_BYTES - 1}}}"
LINK_GROUP: Final = f"{NO_LINK}[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{LINK_NAME_BYTES - 2}}}"  # a number follows
MAC: Final = "(?!00:00:00:00:00:00$)[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}"

BYTE: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4: Final = rf"{BYTE}(\.{BYTE}){{3}}"
GROUP: Final = "[0-9A-Fa-f]{1,4}"
IPV6: Final = "({})".format(
    "|".join(
        [
            f"({GROUP}:){{7}}({GROUP}|:)",
            *(f"({GROUP}:){{{n}}}((:{GROUP}){{1,{7 - n}}}|:)" for n in range(1, 7)),
            f":((:{GROUP}){{1,7}}|:)",
            f"({GROUP}:){{6}}{IPV4}",
            *(f"({GROUP}:){{{n}}}(:{GROUP}){{0,{5 - n}}}:{IPV4}" for n in range(1, 6)),
            f":(:{GROUP}){{0,5}}:{IPV4}",
        ]
    )
)
"""RFC 4291, section 2.2, without a zone."""

IP: Final = f"({IPV4}|{IPV6})"
ZONE: Final = "(%[A-Za-z0-9_.-]{1,15})?"
CIDR: Final = rf"{IPV4}/([12]?[0-9]|3[0-2])"
NETWORK: Final = rf"({IPV4}(/([12]?[0-9]|3[0-2]))?|{IPV6}(/([1-9]?[0-9]|1[01][0-9]|12[0-8]))?)"

PORT: Final = "0{0,5}([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
PORTS: Final = f" *{PORT} *(- *{PORT} *)?"
HOST: Final = "(?=[^:]{1,253}:)(?![0-9.]+:)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\\.?)+"
IN_BRACKETS: Final = rf"\[({IPV4}|{IPV6}{ZONE})\]"
LISTEN: Final = rf"({IPV4}|\[{IP}\]):({PORT}|0{{1,5}})"
RACE_LISTEN: Final = rf"({IPV4}|{IN_BRACKETS}):({PORT}|0{{1,5}})"
UPSTREAM: Final = rf"({IPV4}|{HOST}|{IN_BRACKETS}):{PORT}"
TARGET: Final = rf"({IP}|({IPV4}|\[{IP}\]):{PORT})"

NUMBER: Final = r"[0-9]{1,9}(\.[0-9]{1,9})?"
UNIT: Final = f"({'|'.join(sorted(filter(None, SECONDS), key=len, reverse=True))})"
DURATION: Final = f" *{NUMBER}( *{UNIT} *{NUMBER})*( *{UNIT})? *"
NUMBERS: Final = " *[0-9]{1,5} *(- *[0-9]{1,5} *)?(, *[0-9]{1,5} *(- *[0-9]{1,5} *)?)*"


def text_like(*patterns: str) -> dict[str, object]:
    """Return the schema of a text that is wholly one of *patterns*."""
    whole = patterns[0] if len(patterns) == 1 else f"({'|'.join(patterns)})"
    return {"type": "string", "pattern": f"^{whole}$"}


def list_of(item: object, least: int = 0, **more: object) -> dict[str, object]:
    """Return the schema of a list."""
    return {"type": "array", "items": item, **({"minItems": least} if least else {}), **more}


FLAGS: Final = list_of({"type": "string", "enum": list(MPTCP_FLAGS)}, uniqueItems=True)
