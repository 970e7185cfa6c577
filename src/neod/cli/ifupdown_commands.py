"""What the commands in an interfaces file, say about links, addresses and tables. Pure."""

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

from neod.cli.ifupdown_shell import MOST_NESTED, NO_COMMANDS, Part, Step, steps

KERNEL_MODE: Final = "vepa"
"""What a macvlan gets of which nothing is said. Source: drivers/net/macvlan.c, macvlan_common_newlink."""

NOT_MADE: Final = "neo has no place for it"
IN_MAIN: Final = "neo makes no routes of it in the main table"
DHCP_CLIENTS: Final = frozenset(("dhclient", "udhcpc", "dhcpcd", "pump"))
OF_LINKS: Final = frozenset(("vlan", "bridge", "bond", "dummy", "veth"))
EVERYWHERE: Final = frozenset(("default", "0.0.0.0/0", "0/0"))


def read(text: str, link: str, variables: Mapping[str, str], depth: int = 0) -> list[Step]:
    """Return what the commands in *text*, a line of the stanza of *link*, do."""
    return steps(text, link, variables, lambda words: _pipeline(words, link, depth))


def _pipeline(words: list[str], link: str, depth: int) -> Part:
    """Return what one command does, or several that are piped into each other."""
    while words[0].rpartition("/")[2] in ("sudo", "exec", "command", "busybox", "-n", "-E") and len(words) > 1:
        words = words[1:]
    name, rest = words[0].rpartition("/")[2], words[1:]
    if _is_test(name, rest):
        return Part(test=" ".join(rest), inverse="!" in rest)
    if name in ("sh", "bash", "dash") and rest[:1] == ["-c"] and len(rest) == 2 and depth < MOST_NESTED:
        steps = read(rest[1], link, {}, depth + 1)
        return Part(steps, is_known=all(step.why_not != NO_COMMANDS for step in steps), is_idle=False)
    step = Step(why_not=NO_COMMANDS) if "\n|" in words else _simple(name, rest)
    talks = name in ("echo", "logger", "printf") and not any(">" in word for word in rest)
    known, idle = talks or step.why_not != NO_COMMANDS, talks or not (step.says or step.why_not)
    return Part([step] if step != Step() else [], leaves=name in ("exit", "return"), is_known=known, is_idle=idle)


def _is_test(name: str, rest: list[str]) -> bool:
    """Whether a command only tells whether an interface, or the module, is there."""
    match name:
        case "[" | "[[" | "test":
            return any(word.startswith("/sys/class/net/") for word in rest)
        case "grep":
            return "/proc/net/dev" in rest
        case "ip" | "ifconfig" | "lsmod" | "cat" if "\n|" in rest:
            return rest[rest.index("\n|") + 1].rpartition("/")[2] in ("grep", "egrep", "fgrep") and "add" not in rest
        case "ip":
            plain = [word for word in rest if not word.startswith("-")]
            return len(plain) < 2 or plain[1] in ("show", "sh", "s", "list", "ls")
        case "ifconfig":
            return len(rest) == 1
    return False


def _simple(name: str, rest: list[str]) -> Step:
    match [name, *rest]:
        case ["true" | ":" | "sleep" | "wait" | "set" | "exit" | "return", *_]:
            return Step()
        case ["modprobe", *words] if words and all(word.startswith("-") or word == "macvlan" for word in words):
            return Step()
        case ["ip", *words]:
            return _ip(words)
        case ["ifconfig", link, *words]:
            return _ifconfig(link, words)
        case ["route", "add", "default", "gw", gateway, *_]:
            return Step("", {"gateway": gateway}, IN_MAIN)
        case [client, *words] if client in DHCP_CLIENTS and words:
            return _dhcp(words)
        case _ if name == "sysctl" or any("/proc/sys/" in word for word in rest):
            return Step(why_not="write it into [sysctl]")
    return Step(why_not=NO_COMMANDS)


def _ip(words: list[str]) -> Step:
    while words and words[0].startswith("-"):
        option, *words = words
        if not re.fullmatch(r"-(4|o|oneline|s|d|br\w*|c\w*|f|family|force)", option):
            return Step(why_not=f"ip {option}: {NOT_MADE}")
        if option in ("-f", "-family"):
            option, *words = words or [""]
            if option != "inet":
                return Step(why_not=f"family {option}: {NOT_MADE}")
    if len(words) < 2:
        return Step(why_not=NOT_MADE)
    thing, verb, *rest = words
    adds = verb in ("a", "ad", "add", "append", "replace", "repl", "change")
    takes = verb in ("d", "de", "del", "delete")
    if "link".startswith(thing):
        return _link_add(rest) if adds else _link_set(rest) if verb in ("s", "se", "set") else _gone(rest, takes)
    for whole, of in (("address", _address), ("route", _route), ("rule", _rule)):
        if whole.startswith(thing) and verb in ("f", "fl", "flush"):
            return Step(*_flushed(rest))
        if whole.startswith(thing) and (adds or takes):
            return of(rest) if adds else _undone(of(rest))
    return Step(why_not=NOT_MADE)


Keys = Mapping[str, str]


def _pairs(words: list[str], keys: Keys, first: str, flags: Iterable[str] = ()) -> tuple[dict[str, str], str]:
    """Return what is said by keys, a bare word being *first*; and the first word that is not known, with its value."""
    said: dict[str, str] = {}
    left = iter(words)
    for word in left:
        if key := keys.get(word, ""):
            if said.setdefault(key, value := next(left, "")) != value and key != "idle":
                return said, f"{word} {value}"
        elif word in flags:
            continue
        elif first in said or not first:
            return said, " ".join([word, *left])
        else:
            said[first] = word
    return said, ""


LINK_KEYS: Final = {
    "dev": "name", "name": "name", "link": "parent", "address": "mac", "addr": "mac", "mtu": "mtu", "type": "type",
    "mode": "mode",
}  # fmt: skip


def _link_add(words: list[str]) -> Step:
    said, strange = _pairs(words, LINK_KEYS, "name")
    name, kind = said.pop("name", ""), said.pop("type", "")
    if kind != "macvlan":
        found = next((after for word, after in pairwise(words) if word == "type"), kind)
        if found == "macvlan":
            return Step(name, {}, f"{strange}: {NOT_MADE}")
        place = "[links] has a place for it" if found in OF_LINKS else f"neo makes macvlans, and no {found}"
        return Step(name, {}, place)
    if not name or "parent" not in said or strange == "link":
        return Step(name, {}, "it names no interface, or no NIC below")
    return Step(name, {"mode": KERNEL_MODE, **said}, f"{strange}: {NOT_MADE}" if strange else "")


def _link_set(words: list[str]) -> Step:
    moves = next((word for word in words if word in ("netns", "name", "master")), "")
    keys = {key: value for key, value in LINK_KEYS.items() if key not in ("name", "link")} | {"vf": "vf"}
    said, strange = _pairs([word for word in words if word not in ("up", "down")], keys, "name")
    name, kind = said.pop("name", ""), said.pop("type", "macvlan")
    if moves:
        return Step(name, {"moved": moves}, f"{moves}: {NOT_MADE}")
    return Step(name, said, f"{strange or kind}: {NOT_MADE}" if strange or kind != "macvlan" else "")


def _gone(words: list[str], takes: bool) -> Step:
    said, strange = _pairs(words, LINK_KEYS, "name")
    return Step(said.get("name", ""), {}, "" if takes and not strange else NOT_MADE)


def _address(words: list[str]) -> Step:
    keys = {"dev": "dev", "local": "ipv4", "brd": "broadcast", "broadcast": "broadcast", "label": "label"}
    said, strange = _pairs(words, keys, "ipv4")
    if strange or "ipv4" not in said:
        return Step(said.get("dev", ""), {}, f"{strange or 'no address'}: {NOT_MADE}")
    ip = said["ipv4"]
    return Step(
        said.get("dev", ""), {"ipv4": ip if "/" in ip else f"{ip}/32", "=broadcast": said.get("broadcast", "+")}
    )


def _flushed(words: list[str]) -> tuple[str, dict[str, str], str]:
    match words:
        case ["dev", link] | [link] if link != "cache":
            return link, {}, ""
        case ["table", table]:
            return "", {"=table": table}, ""
        case ["cache"]:
            return "", {}, ""
    return "", {}, NOT_MADE


def _undone(step: Step) -> Step:
    """Return what has to be so for the command to take back only what neod takes back too."""
    return Step(step.link, {f"={key.lstrip('=')}": value for key, value in step.says.items()}, step.why_not)


ROUTE_KEYS: Final = {"via": "gateway", "dev": "dev", "table": "table", "src": "=ip", "to": "net"} | dict.fromkeys(
    ("proto", "protocol", "scope", "metric", "preference"), "idle"
)


def _route(words: list[str]) -> Step:
    said, strange = _pairs(words, ROUTE_KEYS, "net", ("onlink",))
    link, net = said.pop("dev", ""), said.pop("net", "")
    said.pop("idle", None)
    if strange:
        return Step(link, {}, f"{strange}: {NOT_MADE}")
    if net in EVERYWHERE and "gateway" in said:
        return Step(link, said, "" if "table" in said else IN_MAIN)
    if "gateway" in said or net in EVERYWHERE or "table" not in said:
        return Step(link, {}, "neo's tables have a default route and the subnet" if "table" in said else IN_MAIN)
    return Step(link, {"=net": net, **said})


RULE_KEYS: Final = {"from": "=ip", "table": "table", "lookup": "table"} | dict.fromkeys(
    ("priority", "prio", "pref", "preference", "order"), "priority"
)


def _rule(words: list[str]) -> Step:
    said, strange = _pairs(words, RULE_KEYS, "")
    priority = said.pop("priority", "")
    if strange or said.keys() != {"=ip", "table"}:
        return Step("", {}, f"{strange or 'no address'}: neo's rules are from the address alone")
    said["=ip"] = said["=ip"].removesuffix("/32")
    return Step("", said, f"priority {priority}: neo's is 11000 and the table" if priority else "")


def _ifconfig(link: str, words: list[str]) -> Step:
    keys = {"netmask": "netmask", "mtu": "mtu", "broadcast": "=broadcast", "ether": "mac"}
    said, strange = _pairs([word for word in words if word not in ("up", "down", "hw")], keys, "ipv4")
    if said.get("ipv4") in ("0.0.0.0", "0"):
        del said["ipv4"]
    if "ipv4" in said and "/" not in said["ipv4"]:
        said["ipv4"] += f"/{said.get('netmask', '')}"
    said.pop("netmask", None)
    return Step(link, said, f"{strange}: {NOT_MADE}" if strange else "")


RELEASES: Final = frozenset(("-r", "-x", "-k", "--release"))
FLAGS_OF_DHCP: Final = RELEASES | {"-v", "-nw", "-q", "-4", "-b", "-i", "-n", "-1"}


def _dhcp(words: list[str]) -> Step:
    plain = [word for word in words if word not in FLAGS_OF_DHCP]
    link = plain[-1] if plain else ""
    if not RELEASES.isdisjoint(words):
        return Step(link)
    if "-6" in words:
        return Step(link, {}, f"DHCPv6: {NOT_MADE}")
    options = " ".join(plain[:-1])
    return Step(link, {"ipv4": "dhcp"}, f"{options}: neo's DHCP client has no such option" if options else "")
