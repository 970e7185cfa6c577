"""nfnetlink and the few messages of nftables that need no ``nft``: its head, a transaction, tables and chains. Pure.

Numbers in attributes are big-endian here.

Source: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h.
"""

import struct
from dataclasses import dataclass
from typing import Final

from neod.netlink.attributes import BE32, attr, attr_text, attrs, inner, number, string

NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11
NFNL_SUBSYS_NFTABLES: Final = 10
NFTABLES: Final = NFNL_SUBSYS_NFTABLES << 8
NFT_MSG_NEWTABLE, NFT_MSG_GETTABLE, NFT_MSG_DELTABLE = NFTABLES | 0, NFTABLES | 1, NFTABLES | 2
NFT_MSG_GETCHAIN, NFT_MSG_NEWGEN, NFT_MSG_GETGEN = NFTABLES | 4, NFTABLES | 15, NFTABLES | 16

NFTA_TABLE_NAME, NFTA_TABLE_FLAGS, NFTA_TABLE_USE = 1, 2, 3
NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY, NFTA_HOOK_HOOKNUM = 1, 3, 4, 5, 1
NFTA_GEN_ID, NFTA_GEN_PROC_PID, NFTA_GEN_PROC_NAME = 1, 2, 3
NFT_TABLE_F_DORMANT, NFT_TABLE_F_OWNER, NFT_TABLE_F_PERSIST = 1, 2, 4
NF_INET_FORWARD: Final = 2
NF_DROP: Final = 0
NFNLGRP_NFTABLES: Final = 7

NFPROTO_UNSPEC, NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6 = 0, 1, 2, 10
FAMILIES: Final = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
NFGENMSG_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class TableSeen:
    family: str
    name: str
    used: bool  # it holds chains or sets
    dormant: bool = False  # its chains are not asked


@dataclass(frozen=True, slots=True)
class ChainSeen:
    family: str
    table: str
    name: str
    hook: int = -1  # NF_INET_*; -1: a chain that only jumps lead to
    policy: int = -1  # NF_DROP, NF_ACCEPT; -1: none


def nfgenmsg(family: int, resource: int = 0) -> bytes:
    """Return the head of every nfnetlink payload."""
    return struct.pack(">BBH", family, 0, resource)


TRANSACTION: Final = (
    (NFNL_MSG_BATCH_BEGIN, 0, nfgenmsg(NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES)),
    (NFNL_MSG_BATCH_END, 0, nfgenmsg(NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES)),
)
"""What stands before and after the changes that nftables makes together, all or none."""


def inet_table(name: str, flags: int = 0) -> bytes:
    """Return the payload that names, or makes, the table ``inet`` *name*."""
    named = nfgenmsg(NFPROTO_INET) + attr_text(NFTA_TABLE_NAME, name)
    return named + attr(NFTA_TABLE_FLAGS, BE32.pack(flags)) if flags else named


def table_in(payload: memoryview) -> TableSeen:
    """Return the table that an answer to GETTABLE describes."""
    found = attrs(payload, NFGENMSG_BYTES)
    dormant = bool(number(found, NFTA_TABLE_FLAGS, BE32) & NFT_TABLE_F_DORMANT)
    used = number(found, NFTA_TABLE_USE, BE32) > 0
    return TableSeen(_family(payload), string(found, NFTA_TABLE_NAME), used, dormant)


def chain_in(payload: memoryview) -> ChainSeen:
    """Return the chain that an answer to GETCHAIN describes."""
    found = attrs(payload, NFGENMSG_BYTES)
    return ChainSeen(
        _family(payload),
        string(found, NFTA_CHAIN_TABLE),
        string(found, NFTA_CHAIN_NAME),
        number(inner(found, NFTA_CHAIN_HOOK), NFTA_HOOK_HOOKNUM, BE32, -1),
        number(found, NFTA_CHAIN_POLICY, BE32, -1),
    )


def generation_in(payload: memoryview) -> int:
    """Return the number of the ruleset in an answer to GETGEN; every change counts it up."""
    return number(attrs(payload, NFGENMSG_BYTES), NFTA_GEN_ID, BE32)


def author_in(payload: memoryview) -> tuple[int, str] | None:
    """Return id and name of the process whose transaction a NEWGEN ends; None where it is not said."""
    found = attrs(payload, NFGENMSG_BYTES)
    pid = number(found, NFTA_GEN_PROC_PID, BE32)
    return (pid, string(found, NFTA_GEN_PROC_NAME)) if pid else None


def table_named_in(payload: memoryview) -> str:
    """Return the name of the table that a message other than NEWGEN is about."""
    return string(attrs(payload, NFGENMSG_BYTES), NFTA_TABLE_NAME)


def _family(payload: memoryview) -> str:
    return FAMILIES.get(payload[0], "?") if len(payload) else "?"
