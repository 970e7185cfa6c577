"""How the sections say what a key may be: one check of ``checks``, and what the JSON Schema shows of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from neod.features.intents import Intents
from neod.features.validation import addresses, checks, patterns
from neod.features.validation.patterns import list_of, text_like
from neod.features.validation.text import Path
from neod.model.facts import ProbePolicy

Idle = Callable[[Any, Intents], str]
"""(section, what all tables contribute) -> why a key that the file writes has no effect; empty if it has one."""


@dataclass(frozen=True)
class Validator:
    """Annotates a type: *check* makes the value, and *schema* describes it to editors."""

    check: Callable[[object], object]
    schema: Mapping[str, Any] = field(hash=False)
    idle: Idle | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Have pydantic call *check* and nothing else."""
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return a copy: pydantic writes title and default into it."""
        return dict(self.schema)


class Section(BaseModel):
    """A table of the file. A key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Require one ``Validator`` of each key that is not a table.

        pydantic ignores metadata that it does not know, an ``Annotated`` for
        one, and of two validators it would call only the last.
        """
        for name, key in cls.model_fields.items():
            optional = get_origin(key.annotation) is dict
            if [type(one) for one in key.metadata] != [Validator] and (key.metadata or not optional):
                raise TypeError(f"{cls.__name__}.{name}: wants one Validator, and has {key.metadata}")

    def counts_for(self, key: str) -> "Sequence[Section]":
        """Return the sections, with what they inherit, that *key* is said for here."""
        return (self,)

    def below(self) -> "Iterator[tuple[Path, Section]]":
        """Yield the sections in this one, each with where it stands and with what it inherits."""
        return iter(())


class SectionKey(NamedTuple):
    """A key of a section: what may stand there is said by its validator, what it is for by :meth:`says`."""

    default: Any  # ``...`` where the key is required
    validator: Validator
    examples: tuple[object, ...]
    more: Mapping[str, Any]  # what else pydantic shall know of it

    idle: Idle | None

    def says(self, description: str) -> Any:
        """Return the key for pydantic, with *description* for people: JSON Schema, man page."""
        found: Any = Field(self.default, description=description, examples=list(self.examples), **self.more)
        found.metadata.append(replace(self.validator, idle=self.idle))
        return found


def toml_key(
    default: Any, validator: Validator, *examples: object, idle: Idle | None = None, **more: Any
) -> SectionKey:
    """Return a key with its *default* as the file would say it, or ``...``; errors name the first of *examples*.

    *idle* says why it has no effect where it has none: written all the same, it is a warning.
    """
    return SectionKey(default, validator, examples, more, idle)


def integer(low: int, high: int) -> Validator:
    return Validator(checks.integer(low, high), {"type": "integer", "minimum": low, "maximum": high})


def one_of(*words: str) -> Validator:
    return Validator(checks.one_of(*words), {"type": "string", "enum": list(words)})


def duration_s(low: float, high: float) -> Validator:
    """A duration as systemd writes it; seconds to the program."""
    return Validator(checks.duration_s(low, high), text_like(patterns.DURATION))


def text(check: Callable[[str], object], **schema: object) -> Validator:
    """A text with a check of its own; the place for what only one table needs."""
    return Validator(lambda value: check(checks.text(value)), {"type": "string", **schema})


def _is_leased(section: Any) -> bool:
    """Whether its address is a lease: an uplink's ``dhcp`` stays the word, a macvlan's is no addresses."""
    return section.ipv4 in ("dhcp", ())


def leased_alone(section: Any, _: Intents) -> str:
    """Only a lease can be given back."""
    return "" if _is_leased(section) else "there is no lease to give back: release goes with leased addresses"


def release_key() -> Any:
    """Return the key that says what becomes of a lease: of macvlans and uplinks alike."""
    return toml_key(True, Truth, False, idle=leased_alone).says(
        "Whether a lease that the file gives up is given back to its server (DHCPRELEASE). At a stop, a restart and "
        "neodctl down every lease is kept."
    )


def ours_alone(section: Any, _: Intents) -> str:
    """Of what others put there neod asks nothing; nothing waits but for a lease."""
    if section.ipv4 == "follow" and section.probe != "auto":
        return "neod asks about addresses that it puts there itself, and this one follows what others do"
    at_once = section.probe == "before" and not _is_leased(section)
    return "a static address is used at once: only a leased one waits" if at_once else ""


def probe_key() -> Any:
    """Return the key that says what is asked by ARP about addresses: of macvlans and uplinks alike."""
    return toml_key("auto", one_of(*map(str, ProbePolicy)), "auto", idle=ours_alone).says(
        "Whether other hosts are asked by ARP for an address of ours. auto: yes; an address that this host had before "
        "from the same server is used meanwhile, another one after 0.2 s of silence. before: every address waits. off: "
        "nothing is asked and no claim counts, as where a switch answers for everything."
    )


CIDR_SCHEMA: Final = text_like(patterns.CIDR)

LinkName = Validator(checks.link_name, text_like(patterns.LINK))
GroupName = Validator(checks.group_name, text_like(patterns.LINK_GROUP))
Address = Validator(addresses.address, text_like(patterns.IPV4))
TableNumber = Validator(
    checks.table, {"type": "integer", "minimum": 1, "maximum": checks.LAST_TABLE, "not": {"enum": [253, 254, 255]}}
)
Mac = Validator(checks.mac, text_like(patterns.MAC))
Macs = Validator(checks.macs, list_of(text_like(patterns.MAC), 1))
MacOrAuto = Validator(checks.mac_or_auto, text_like("auto", patterns.MAC))
Numbers = Validator(checks.numbers, text_like(patterns.NUMBERS))
Listen = Validator(addresses.listen, text_like(patterns.LISTEN))
Truth = Validator(checks.truth, {"type": "boolean"})
TruthOf01 = Validator(checks.truth_of_0_1, {"type": "boolean"})
Mptcp = Validator(checks.mptcp_flags, patterns.FLAGS)
