"""Message types, header structs and multicast groups of rtnetlink. Pure.

Attribute numbers stand where they are used, with the codec of each object; here are those that several need.

Source: linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/fib_rules.h.
"""

from struct import Struct
from typing import Final

from neod.netlink.attributes import attr_u32, attrs, text

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
RTM_NEWNETCONF: Final = 80
RTM_GETNSID: Final = 90
RTM_NEWNEXTHOP, RTM_DELNEXTHOP, RTM_GETNEXTHOP = 104, 105, 106

RTNLGRP_LINK, RTNLGRP_NEIGH = 1, 3
RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE = 5, 7, 8
RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE = 9, 11, 19
RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF = 24, 25
RTNLGRP_NEXTHOP: Final = 32

IFINFO: Final = Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
IFADDR: Final = Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
RTMSG: Final = Struct("=BBBBBBBBI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
RULEHDR: Final = Struct("=BBBBBBBBI")  # fib_rule_hdr: family, dst_len, src_len, tos, table, -, -, action, flags
RTGENMSG: Final = Struct("=Bxxx")  # rtgenmsg: family

AF_BRIDGE: Final = 7  # family of what a bridge says of its ports
NETNSA_NSID, NETNSA_FD = 1, 3
IFLA_IFNAME: Final = 3
SKIP_STATS: Final = attr_u32(29, 1 << 3)
"""IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS: half of a link message."""

_ATTRIBUTE: Final = Struct("=HH")


def link_name(payload: memoryview) -> str:
    """Return the name in a link message without parsing all of it: the kernel puts it first."""
    length, type_ = _ATTRIBUTE.unpack_from(payload, IFINFO.size)
    if type_ == IFLA_IFNAME:
        return text(payload[IFINFO.size + 4 : IFINFO.size + length])
    return text(attrs(payload, IFINFO.size)[IFLA_IFNAME])
