"""Every number that marks an object as neo's, with its biography."""

from typing import Final

PROTOCOL: Final = 110
"""Route, rule and address protocol: 'n'. Free in rt_protos, beside 2 kernel, 3 boot, 4 static, 16 dhcp, 18 keepalived,
42 babel, 99 openr, 186-198 FRR. networkd spares only 2; we do not disguise ourselves as the kernel."""

LINK_GROUP: Final = 110
"""IFLA_GROUP of links we create; set in the create message and kept by every kernel seen."""

DOOMED_GROUP: Final = 0x6E656F00
"""IFLA_GROUP of our links in the moment before they are deleted together: 'neo' and a zero byte."""

RULE_PRIORITY_BASE: Final = 11000
"""A path's rule has priority 11000 + its table: after tailscale (5210-5270), mwan3 (1000-3000),
before NetworkManager (20350, 30200) and the main table (32766). The base itself is that of the rules
that lead marked answers: no path has table 0."""

LOCAL_PRIORITY: Final = RULE_PRIORITY_BASE + 1
EXIT_PRIORITY: Final = RULE_PRIORITY_BASE + 2
"""What comes from a namespace looks at the main table without its default routes, and then at its uplink's table. After
the rules of marked answers. The tables 1 and 2 share the numbers: whose packets those rules take are other ones."""

NO_ROUTER_PRIORITY: Final = 32765
"""The rule "unreachable" of an address whose path has no router: the last before the main table (32766)."""

ENDPOINT_IDS: Final = range(200, 255)
"""MPTCP endpoint ids: an endpoint has no owner field, so the id is the mark."""

RESERVED_TABLES: Final = {0: "unspec", 253: "default", 254: "main", 255: "local"}
"""Tables of the kernel itself. 252 is how it writes 'see RTA_TABLE'."""

PORT_ALTNAME: Final = "neo-port-"
"""How the alternative name (IFLA_ALT_IFNAME) begins that a NIC has while neo keeps it in a bond or bridge:
``neo-port-up-7`` was up before and has the index 7. The NIC is somebody else's, and being a port has no owner field."""

NETNS_ALIAS: Final = "neo-netns:"
"""How the alias of the loopback begins in a namespace that we made: ``neo-netns:proxy@1``, its name and the number of
neod's own (SO_NETNS_COOKIE). Not as those of links (``neo:``): 0.1.0 takes these for the name of a link."""

MARK_MASK: Final = 0x00F00000
"""Bits of connection and packet marks that are ours by default: 15 values. Beside Kubernetes (0x4000, 0x8000), wg-quick
(0xca6c) and mwan3 (0x3f00); tailscale compares 0x00ff0000, which is in conflict and needs another mask:
``[nat] mark_mask = 0x0f000000``."""
