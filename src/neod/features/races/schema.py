"""``[races.NAME]``: read by neo-race, checked here with all else."""

from collections.abc import Iterator
from typing import Annotated, Final

from neod.features.intents import Intents
from neod.features.listening import ListenSocket, check, clash, listening
from neod.features.parts import NatPart
from neod.features.races.compile import RaceRequest
from neod.features.races.sections import RACE_NAME, Race, RaceEndpoint, race_name, seconds
from neod.features.table import Table
from neod.features.validation import addresses
from neod.features.validation.context import Context
from neod.features.validation.fields import Validator
from neod.features.validation.patterns import text_like
from neod.features.validation.text import Path, natural_sort_key

RaceName = Annotated[str, Validator(race_name, text_like(RACE_NAME))]


def contribute(section: dict[str, Race], context: Context) -> Iterator[object]:
    """Yield each race."""
    for name, race in sorted(section.items(), key=natural_sort_key):
        _check(race, ("races", name), context)
        ends = (str(race.listen), *map(str, race.upstreams))
        yield RaceRequest(name, _plain(name, race), ends, context.origin("races", name))
        host, port = race.listen
        yield listening(host, port, race.listen_netns, ("races", name, "listen"), both=True)


def _check(race: Race, place: Path, context: Context) -> None:
    here = [race.netns == race.listen_netns and _is_itself(race.listen, upstream) for upstream in race.upstreams]
    for index, upstream in enumerate(race.upstreams):
        where, text = (*place, "upstreams", index), f"{upstream} is where the race itself listens"
        by_name = upstream.host in (race.listen.host, "127.0.0.1", "::1", "localhost")  # 0.1.0 refused these alone
        if here[index] and (by_name or all(here)):
            context.problem(where, text, "write where the connections shall go")
        elif here[index]:
            context.warn(where, f"{text}: it is left out")
    families = {":" in source for source in race.sources or ()}
    for index, upstream in enumerate(race.upstreams):
        if families and addresses.is_ip(upstream.host) and (":" in upstream.host) not in families:
            context.warn((*place, "upstreams", index), f"no source has the address family of {upstream}")


def _is_itself(listen: RaceEndpoint, upstream: RaceEndpoint) -> bool:
    """Whether a race would connect to itself; every loopback address is the host, by whatever name."""
    if listen.port != upstream.port:
        return False
    if not addresses.is_ip(upstream.host):
        return upstream.host == "localhost" and listen.host in ("0.0.0.0", "::", "127.0.0.1", "::1")
    here, there = (listening(host, listen.port, "", ("", ""), both=True) for host in (listen.host, upstream.host))
    return here.ip == there.ip or (there.ip.is_loopback and clash(here, there))


def _plain(name: str, race: Race) -> dict[str, object]:
    """Return the settings of a race as plain values, which neo-race decodes: it shares no class with us."""
    return {
        "name": name,
        "listen": tuple(race.listen),
        "upstreams": tuple(map(tuple, race.upstreams)),
        "sources": race.sources,
        "mptcp": race.mptcp,
        "listen_mptcp": race.listen_mptcp,
        "stagger_s": seconds(race.stagger),
        "timeout_s": seconds(race.timeout),
        "dial": race.dial,
        "max_attempts": race.max_attempts,
        "netns": race.netns,
        "listen_netns": race.listen_netns,
        "timeouts": {
            "first_byte_s": seconds(race.first_byte_timeout),
            "idle_s": seconds(race.idle_timeout),
            "keepalive_s": seconds(race.keepalive),
            "user_s": seconds(race.user_timeout),
        },
        "max_connections": race.max_connections,
        "max_connections_per_client": race.max_connections_per_client,
    }


def finalize(intents: Intents, context: Context) -> tuple[()]:
    """Check where races listen against each other and against all else in the file."""
    check(intents.of(ListenSocket), intents.of(NatPart), context)
    return ()


TABLE: Final = Table(
    about="Races, by name, run by neo-race: each connection that comes in is forwarded over whichever way is "
    "established first.",
    section=dict[RaceName, Race],
    contribute=contribute,
    finalize=finalize,
)
