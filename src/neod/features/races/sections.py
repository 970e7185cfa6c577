"""``[races.NAME]``: its keys, and what each may be."""

import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, Final, NamedTuple, TypeVar

from neod.features.intents import Intents
from neod.features.validation import addresses, checks, patterns
from neod.features.validation.checks import InvalidValue
from neod.features.validation.fields import Section, Truth, Validator, duration_s, integer, one_of, text, toml_key
from neod.features.validation.patterns import list_of, text_like
from neod.features.validation.text import show
from neod.model.nat import unmapped

RACE_NAME: Final = "(?!connect$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}"
HOST_NAME: Final = re.compile(r"(?=.{1,253}$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+")
ENDPOINT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%A-Za-z_-]+)\]|([^\[\]:]+)):([0-9]{1,5})")
NETNS: Final = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}"
T = TypeVar("T")
DAY_S: Final = 86400.0
MOST_UPSTREAMS: Final = 64
MOST_SOURCES: Final = 4000
MOST_CONNECTIONS: Final = 1_000_000

IDLE_TIMEOUT_S: Final = 2 * 3600.0 + 4 * 60.0
"""No NAT may forget an established connection sooner (RFC 5382, REQ-5); neither do we."""

USER_TIMEOUT_S: Final = 300.0
"""Linux counts a receiver that has closed its window as unacknowledged, too (since 5.11): a reader that
pauses longer than this loses its connection. Hence minutes, not seconds."""


def seconds(value: float | str) -> float:
    """Return a checked duration; a default stands there as it is written in the file."""
    return checks.seconds_of(value) if isinstance(value, str) else value


class RaceEndpoint(NamedTuple):
    """An address or a name, and a port."""

    host: str  # without brackets
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def race_name(value: object) -> str:
    """Return the name of a race, as the command line and metrics give it."""
    name = checks.text(value)
    if name == "connect":
        raise InvalidValue("connect is a command of neo-race", "give the race another name")
    if not re.fullmatch(RACE_NAME, name):
        raise InvalidValue(f"{show(name)} is not a name for a race", "letters, digits, '_', '.' and '-' make one")
    return name


def endpoint(value: object) -> RaceEndpoint:
    """Return a numeric address, in brackets if it is IPv6, and a port."""
    given = checks.text(value)
    match = ENDPOINT.fullmatch(given)
    if match is None:
        raise InvalidValue(f"{show(given)} is not ADDRESS:PORT")
    return RaceEndpoint(str(unmapped(addresses.parsed_ip(match[1] or match[2]))), _port(match[3], 0))


def upstream(value: object) -> RaceEndpoint:
    """Return an address or a name, and a port; only an IPv6 address stands in brackets."""
    given = checks.text(value)
    match = ENDPOINT.fullmatch(given)
    if match is None:
        bare = ":" in given and given.count(":") > 1 and "[" not in given
        raise InvalidValue(f"{show(given)} is not ADDRESS:PORT or NAME:PORT", f'write "[{given}]:443"' if bare else "")
    port, host = _port(match[3], 1), match[1] or match[2]
    try:
        found = unmapped(ip_address(host))
    except ValueError:
        if match[1] or re.fullmatch(r"[0-9.]+", host) or not HOST_NAME.fullmatch(host):
            meant = addresses.plain_ip(host)
            hint = f'write "{meant}:{port}"' if addresses.is_ip(meant) else ""
            raise InvalidValue(f"{show(host)} is neither an IP address nor the name of a host", hint) from None
        return RaceEndpoint(host.lower(), port)
    if found.is_unspecified or found.is_multicast:
        raise InvalidValue(f"nothing can be connected to {found}", "write the address of a host")
    return RaceEndpoint(str(found), port)


def _port(digits: str, least: int) -> int:
    if not least <= int(digits) <= 65535:
        raise InvalidValue(f"port {digits} is not between {least} and 65535")
    return int(digits)


def upstreams(value: object) -> tuple[RaceEndpoint, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise InvalidValue(f"{'an empty list' if value == [] else show(value)} is not a list of upstreams")
    if len(value) > MOST_UPSTREAMS:
        raise InvalidValue(
            f"{len(value)} upstreams are more than {MOST_UPSTREAMS}", "a race between that many helps nobody"
        )
    return _different(checks.each(upstream, value), value)


def _different(found: tuple[T, ...], value: Sequence[object]) -> tuple[T, ...]:
    """Return *found*, which *value* says; an IPv4 address that it says in IPv6 as well counts once."""
    if (twice := checks.first_twice(map(str, found))) is None:
        return found
    problem = f"{show(twice)} stands there twice"
    same = [one for one, text in zip(value, map(str, found), strict=True) if text == twice]
    plain = [one for one in same if "::ffff:" not in str(one).lower()]
    if plain and plain != same:
        raise checks.OldSpelling(problem, [one for one in value if one in plain or one not in same])
    raise InvalidValue(problem)


def sources(value: object) -> tuple[str, ...] | None:
    """Return the addresses to connect from; None stands for ``auto``, no address for ``none``."""
    if value == "auto":
        return None
    if value == "none":
        return ()
    if not isinstance(value, list | tuple) or not value:
        raise InvalidValue(
            f'{"an empty list" if value == [] else show(value)} is not "auto", "none" or a list of addresses'
        )
    if len(value) > MOST_SOURCES:
        raise InvalidValue(f"{len(value)} addresses are more than {MOST_SOURCES}")
    return _different(checks.each(_source, value), value)


def _source(value: object) -> str:
    found = unmapped(addresses.parsed_ip(checks.text(value)))
    if found.is_unspecified or found.is_multicast:
        raise InvalidValue(f"no connection can start from {found}", 'write "none" to let the kernel choose')
    return str(found)


def _netns(name: str) -> str:
    if not re.fullmatch(NETNS, name):
        raise InvalidValue(f"{show(name)} is not the name of a network namespace", "name one that `ip netns` lists")
    return name


def off_or_s(low: float, high: float) -> Callable[[object], float]:
    """Return the check for a duration from *low* to *high*, or 0 for none."""
    inner = checks.duration_s(0, high)

    def check(value: object) -> float:
        seconds = inner(value)
        if 0 < seconds < low:
            raise InvalidValue(f"{show(value)} is shorter than {low:g} s", 'write a longer time, or "0s" for none')
        return seconds

    return check


def _off_or_s(low: float, high: float) -> Validator:
    return Validator(off_or_s(low, high), duration_s(low, high).schema)


Upstreams: Final = Validator(upstreams, list_of(text_like(patterns.UPSTREAM), 1, maxItems=MOST_UPSTREAMS))
Sources: Final = Validator(
    sources,
    {
        "anyOf": [
            {"enum": ["auto", "none"]},
            list_of(text_like(f"{patterns.IP}{patterns.ZONE}"), 1, maxItems=MOST_SOURCES),
        ]
    },
)


def _one_way(section: Any, _: Intents) -> str:
    """Say why there is no second way to wait with; names and ``auto`` can be many."""
    host = section.upstreams[0].host
    from_one = len(section.sources) < 2 if section.sources is not None else bool(section.netns)
    if seconds(section.stagger) == 0:
        return ""
    if from_one and len(section.upstreams) == 1 and addresses.is_ip(host):
        return "there is one way: one upstream, from one source"
    late = seconds(section.stagger) >= seconds(section.timeout)
    return "timeout ends the race before a second way is tried" if late else ""


def _auto_elsewhere(section: Any, _: Intents) -> str:
    elsewhere = section.netns and section.sources is None
    return f'the paths are not in {section.netns}: the kernel chooses, as with "none"' if elsewhere else ""


def _ended_before(section: Any, _: Intents) -> str:
    idle_s = seconds(section.idle_timeout)
    return (
        "idle_timeout ends a connection that is silent for so long" if 0 < idle_s <= seconds(section.keepalive) else ""
    )


def _all_from_one(section: Any, _: Intents) -> str:
    most = section.max_connections_per_client
    return (
        f"max_connections allows {section.max_connections} of all together" if most >= section.max_connections else ""
    )


class RaceEnds(Section):
    """Where connections come in, and where they may go."""

    listen: RaceEndpoint = toml_key(..., Validator(endpoint, text_like(patterns.RACE_LISTEN)), "127.0.0.1:4430").says(
        "Address and port where connections come in."
    )
    upstreams: tuple[RaceEndpoint, ...] = toml_key(..., Upstreams, ["198.51.100.10:443", "203.0.113.11:443"]).says(
        "Where to connect: addresses or names, each with a port. All addresses of a name take part."
    )
    sources: tuple[str, ...] | None = toml_key(None, Sources, "auto", idle=_auto_elsewhere).says(
        "Which addresses to connect from, each with each upstream. auto: the usable addresses of the host's uplinks "
        "and macvlans. none: the kernel chooses."
    )
    mptcp: bool = toml_key(False, Truth, True).says("Connect with MPTCP; plain TCP where either end has none.")
    listen_mptcp: bool = toml_key(False, Truth, True).says("Accept MPTCP, too; plain TCP goes on working.")


class Race(RaceEnds):
    """One race: where connections come in, and the ways between which each is decided."""

    stagger: float | str = toml_key(
        "0ms", Validator(off_or_s(0.01, 10), duration_s(0, 10).schema), "0ms", "250ms", idle=_one_way
    ).says("How long to wait for one way before the next is tried as well. 0ms: all start at once.")
    dial: str = toml_key("accept", one_of("accept", "first-byte"), "accept", "first-byte").says(
        "When to connect. accept: at once. first-byte: when the client has sent something, so that a client that is "
        "itself a race costs one connection; not for protocols in which the server speaks first (SSH, SMTP)."
    )
    timeout: float | str = toml_key("5s", duration_s(0.05, 300), "5s").says(
        "When a race that nobody has won is given up."
    )
    max_attempts: int = toml_key(16, integer(1, 256), 16).says(
        "How many connections one race may have under way at the same time."
    )
    netns: str = toml_key("", text(_netns, pattern=f"^{NETNS}$"), "proxy").says(
        "Network namespace to connect from. Needs CAP_SYS_ADMIN, which neo-race.service does not have."
    )
    listen_netns: str = toml_key("", text(_netns, pattern=f"^{NETNS}$"), "proxy").says(
        "Network namespace to listen in. Needs CAP_SYS_ADMIN."
    )
    first_byte_timeout: float | str = toml_key("60s", _off_or_s(0.1, DAY_S), "60s").says(
        "How long the upstream may take for its first byte, from the first one of the client on; 64 KiB more from the "
        'client begin it anew. Where neither says a word it counts from the beginning, and with dial = "first-byte" '
        "for the client. 0s: indefinitely."
    )
    idle_timeout: float | str = toml_key(f"{IDLE_TIMEOUT_S:g}s", _off_or_s(0.1, 30 * DAY_S), "2h 4min").says(
        "How long a connection may be silent. 0s: indefinitely."
    )
    keepalive: float | str = toml_key("60s", _off_or_s(1, 32767), "60s", idle=_ended_before).says(
        "Silence after which the kernel asks whether the other end lives. 0s: never."
    )
    user_timeout: float | str = toml_key(f"{USER_TIMEOUT_S:g}s", _off_or_s(1, DAY_S), "5min").says(
        "How long sent data may stay unacknowledged before a connection is given up; a receiver that takes nothing for "
        "so long loses it, too. 0s: the kernel's own patience, about a quarter of an hour."
    )
    max_connections: int = toml_key(10_000, integer(1, MOST_CONNECTIONS), 10000).says(
        "How many connections may be open; more wait in the kernel's queue."
    )
    max_connections_per_client: int = toml_key(0, integer(0, MOST_CONNECTIONS), 100, idle=_all_from_one).says(
        "How many of them may come from one address; more are reset. 0: no limit."
    )
