"""Messages that make and fill a small table of nftables without ``nft``: sets, chains, rules. Pure.

Source: linux/netfilter/nf_tables.h; ``nft --debug=netlink`` prints the expressions of a rule.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from neod.netlink.attributes import BE32, NLA_F_NESTED, U32, attr, attr_text, attrs, each_attr, inner, nest, string
from neod.netlink.message import NLM_F_APPEND, NLM_F_CREATE, Request
from neod.netlink.nfnetlink import NF_DROP, NFGENMSG_BYTES, NFTABLES, nfgenmsg

NFPROTO_ARP: Final = 3
NF_ARP_IN, NF_ARP_OUT = 0, 1
NEWTABLE, GETTABLE, DELTABLE, NEWCHAIN, GETCHAIN = (NFTABLES | n for n in (0, 1, 2, 3, 4))
NEWRULE, GETRULE, NEWSET, GETSET = (NFTABLES | n for n in (6, 7, 9, 10))
NEWSETELEM, GETSETELEM, DELSETELEM = (NFTABLES | n for n in (12, 13, 14))

TYPE_IPV4_ADDR, TYPE_IFNAME = (7, 4, 2), (41, 16, 1)
"""What ``nft`` prints the elements of a set by: number, length and byte order (1 the host's, 2 big-endian) of a type.

Source: enum datatypes, enum byteorder and enum nftnl_udata_set_types of nftables.
"""

META_IIFNAME, META_OIFNAME = 6, 7
NETWORK_HEADER: Final = 1
REGISTER, VERDICT_REGISTER = 1, 0
DATA_VALUE, DATA_VERDICT, VERDICT_CODE = 1, 2, 1
LIST_ELEM: Final = 1
NFTA_RULE_CHAIN, NFTA_RULE_USERDATA = 2, 7
NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_KEY = 3, 1


def _nested(type_: int, parts: Iterable[bytes]) -> bytes:
    return nest(type_ | NLA_F_NESTED, parts)


def _number(type_: int, value: int) -> bytes:
    return attr(type_, BE32.pack(value & 0xFFFFFFFF))


def in_table(family: int, table: str, *parts: bytes) -> bytes:
    """Return a payload about something in a table, or about the table."""
    return nfgenmsg(family) + attr_text(1, table) + b"".join(parts)


def name_of_set(name: str) -> bytes:
    return attr_text(2, name)


def new_set(family: int, table: str, name: str, kind: tuple[int, int, int], number: int) -> Request:
    """Return the request for a set of *kind*; *number* is its name within the transaction."""
    parts = [name_of_set(name), _number(3, 0), _number(4, kind[0]), _number(5, kind[1]), _number(10, number)]
    parts.append(attr(13, bytes((0, 4)) + U32.pack(kind[2])))
    return NEWSET, NLM_F_CREATE, in_table(family, table, *parts)


def new_chain(family: int, table: str, name: str, hook: int) -> Request:
    """Return the request for a chain of type filter at *hook*, which accepts what no rule drops."""
    parts = [attr_text(3, name), _nested(4, [_number(1, hook), _number(2, 0)]), _number(5, 1), attr_text(7, "filter")]
    return NEWCHAIN, NLM_F_CREATE, in_table(family, table, *parts)


def new_rule(family: int, table: str, chain: str, expressions: Iterable[bytes], comment: str) -> Request:
    """Return the request that appends a rule."""
    note = comment.encode() + b"\0"
    parts = [attr_text(2, chain), _nested(4, expressions), attr(7, bytes((0, len(note))) + note)]
    return NEWRULE, NLM_F_CREATE | NLM_F_APPEND, in_table(family, table, *parts)


def elements(family: int, table: str, name: str, keys: Iterable[bytes]) -> bytes:
    """Return the payload that names elements of a set."""
    found = [_nested(LIST_ELEM, [_nested(NFTA_SET_ELEM_KEY, [attr(DATA_VALUE, key)])]) for key in keys]
    return in_table(family, table, name_of_set(name), _nested(NFTA_SET_ELEM_LIST_ELEMENTS, found))


def _expression(name: str, parts: Sequence[bytes]) -> bytes:
    return _nested(LIST_ELEM, [attr_text(1, name), _nested(2, parts)])


def load_meta(key: int) -> bytes:
    return _expression("meta", [_number(1, REGISTER), _number(2, key)])


def load_header(offset: int, length: int) -> bytes:
    """Return the expression that loads bytes of the network header, for ARP those of its packet."""
    parts = [_number(1, REGISTER), _number(2, NETWORK_HEADER), _number(3, offset), _number(4, length)]
    return _expression("payload", parts)


def is_equal(value: bytes) -> bytes:
    return _expression("cmp", [_number(1, REGISTER), _number(2, 0), _nested(3, [attr(DATA_VALUE, value)])])


def is_in(name: str, number: int) -> bytes:
    """Return the expression that goes on if what was loaded is in the set."""
    return _expression("lookup", [attr_text(1, name), _number(2, REGISTER), _number(4, number)])


def drop() -> bytes:
    verdict = _nested(DATA_VERDICT, [_number(VERDICT_CODE, NF_DROP)])
    return _expression("immediate", [_number(1, VERDICT_REGISTER), _nested(2, [verdict])])


def rule_in(payload: memoryview) -> tuple[str, str]:
    """Return chain and comment of the rule in an answer to GETRULE."""
    found = attrs(payload, NFGENMSG_BYTES)
    note = bytes(found.get(NFTA_RULE_USERDATA, b""))
    return string(found, NFTA_RULE_CHAIN), note[2:].rstrip(b"\0").decode("utf-8", "replace")


def elements_in(payload: memoryview) -> list[bytes]:
    """Return the elements in an answer to GETSETELEM."""
    found = attrs(payload, NFGENMSG_BYTES).get(NFTA_SET_ELEM_LIST_ELEMENTS, memoryview(b""))
    return [bytes(inner(attrs(element), NFTA_SET_ELEM_KEY)[DATA_VALUE]) for _, element in each_attr(found)]
