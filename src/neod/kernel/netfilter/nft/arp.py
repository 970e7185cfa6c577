"""The table ``arp neo``, in which NICs are kept from answering for addresses that are on macvlans above them.

Written without ``nft``: an element is there before its address is, and that must take microseconds, also on hosts
without the program. Nobody else's table, chain or sysctl is touched.

Source: linux/if_arp.h and RFC 826 for the packet; net/ipv4/arp.c, where NF_ARP_IN is before arp_process.
"""

import errno
from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address
from typing import Final

from neod.kernel.errors import refused
from neod.kernel.netfilter.nft.ruleset import NftRuleset
from neod.model.ports import ArpElement
from neod.netlink import nftables as nft
from neod.netlink.message import NLM_F_CREATE, Request

FAMILY, TABLE = nft.NFPROTO_ARP, "neo"
SETS: Final = {"nic": ("nics", nft.TYPE_IFNAME), "address": ("addresses", nft.TYPE_IPV4_ADDR)}
NICS, ADDRESSES = ("nics", 1), ("addresses", 2)
IFNAME_BYTES: Final = 16
REQUEST: Final = b"\0\1"
OPERATION_AT, SENDER_AT, TARGET_AT = 6, 14, 24  # in an ARP packet for Ethernet and IPv4

RULES: Final = {
    "requests": (
        nft.NF_ARP_IN,
        (
            *(nft.load_meta(nft.META_IIFNAME), nft.is_in(*NICS)),
            *(nft.load_header(OPERATION_AT, 2), nft.is_equal(REQUEST)),
            *(nft.load_header(TARGET_AT, 4), nft.is_in(*ADDRESSES), nft.drop()),
        ),
    ),
    "sent": (
        nft.NF_ARP_OUT,
        (
            *(nft.load_meta(nft.META_OIFNAME), nft.is_in(*NICS)),
            *(nft.load_header(SENDER_AT, 4), nft.is_in(*ADDRESSES), nft.drop()),
        ),
    ),
}
"""Each chain has its hook and one rule. The second keeps a NIC from telling the segment that such an address is its own
when a packet leaves by it, which is what arp_announce would do for all addresses."""

COMMENT: Final = "neo 1"
MOST_AT_ONCE: Final = 1000
"""Elements of a message: the length of an attribute has 16 bits."""

TRIES: Final = 5
UNSUPPORTED: Final = (errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


class ArpTable:
    """The elements of both sets; read again only when the ruleset's generation is not the one last seen."""

    def __init__(self, ruleset: NftRuleset) -> None:
        self._ruleset = ruleset
        self._generation: int | None = None
        self._there = self._whole = False
        self._elements: frozenset[ArpElement] = frozenset()
        self.writes = 0

    def read(self) -> Mapping[ArpElement, bool]:
        """Return the elements, each with whether the table is whole.

        Raises:
            KernelError: nftables could not be read, or kept changing.
        """
        if not self._ruleset.supported():
            return {}
        for _ in range(TRIES):
            generation = self._ruleset.generation()
            if generation == self._generation:
                return dict.fromkeys(self._elements, self._whole)
            self._generation = None
            self._look()
            if self._ruleset.generation() == generation:
                self._generation = generation
        raise refused("read table arp neo", errno.EINTR, "the rules kept changing while they were read")

    def _look(self) -> None:
        self._there = self._ruleset.has(nft.GETTABLE, nft.in_table(FAMILY, TABLE))
        self._whole, self._elements = False, frozenset()
        if self._there:
            rules = self._ruleset.dump(nft.GETRULE, nft.in_table(FAMILY, TABLE))
            self._whole = sorted(map(nft.rule_in, rules)) == [(chain, COMMENT) for chain in sorted(RULES)]
            self._elements = frozenset(element for sort in SETS for element in self._in_set(sort))

    def _in_set(self, sort: str) -> Iterator[ArpElement]:
        name, _ = SETS[sort]
        if self._ruleset.has(nft.GETSET, nft.in_table(FAMILY, TABLE, nft.name_of_set(name))):
            for payload in self._ruleset.dump(nft.GETSETELEM, nft.in_table(FAMILY, TABLE, nft.name_of_set(name))):
                yield from ((sort, _text(sort, key)) for key in nft.elements_in(payload))

    def change(self, add: Collection[ArpElement], remove: Collection[ArpElement]) -> bool:
        """Change the elements in one transaction; false where the kernel has no tables of the family.

        Raises:
            KernelError: the kernel returned an error; what was there stands.
        """
        for last in (False, False, True):
            self.read()
            if not self._ruleset.supported():
                return False
            wanted = (self._elements | set(add)) - set(remove)
            generation, there = self._generation, self._there
            error = self._ruleset.transact(list(self._requests(wanted)))
            self._generation = None
            if error is None:
                self.writes += 1
                self._note(wanted, generation)
                return True
            if not there and error.code in UNSUPPORTED:
                return False
            if last:
                raise error
        return True

    def _note(self, elements: frozenset[ArpElement], before: int | None) -> None:
        """Take what was written as read, if nobody else wrote meanwhile."""
        now = self._ruleset.generation()
        if before is not None and now == before + 1:
            self._generation, self._elements = now, elements
            self._there = self._whole = bool(elements)

    def _requests(self, wanted: frozenset[ArpElement]) -> Iterator[Request]:
        have = self._elements if self._whole else frozenset[ArpElement]()
        if self._there and not (self._whole and wanted):
            yield nft.DELTABLE, 0, nft.in_table(FAMILY, TABLE)
        if wanted and not self._whole:
            yield from _skeleton()
        if wanted:
            yield from _elements(nft.DELSETELEM, 0, have - wanted)
            yield from _elements(nft.NEWSETELEM, NLM_F_CREATE, wanted - have)


def _skeleton() -> Iterator[Request]:
    """Yield what makes the table with empty sets."""
    yield nft.NEWTABLE, NLM_F_CREATE, nft.in_table(FAMILY, TABLE)
    for number, (name, kind) in enumerate(SETS.values(), 1):
        yield nft.new_set(FAMILY, TABLE, name, kind, number)
    for chain, (hook, expressions) in RULES.items():
        yield nft.new_chain(FAMILY, TABLE, chain, hook)
        yield nft.new_rule(FAMILY, TABLE, chain, expressions, COMMENT)


def _elements(type_: int, flags: int, elements: Collection[ArpElement]) -> Iterator[Request]:
    for sort, (name, _) in SETS.items():
        keys = [_key(*element) for element in sorted(elements) if element[0] == sort]
        for first in range(0, len(keys), MOST_AT_ONCE):
            yield type_, flags, nft.elements(FAMILY, TABLE, name, keys[first : first + MOST_AT_ONCE])


def _key(sort: str, text: str) -> bytes:
    return IPv4Address(text).packed if sort == "address" else text.encode().ljust(IFNAME_BYTES, b"\0")


def _text(sort: str, key: bytes) -> str:
    return str(IPv4Address(key)) if sort == "address" else key.rstrip(b"\0").decode("utf-8", "replace")
