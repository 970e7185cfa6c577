"""The families of kernel objects that neo keeps, one line each."""

from typing import Final

from neod.kinds import address, link, mptcp, nat, netns, route, rule, sysctl
from neod.model.kind import Entry
from neod.wire import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_DELRULE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNETCONF,
    RTM_NEWROUTE,
    RTM_NEWRULE,
)

REGISTRY: Final = (
    Entry(netns.NetnsKind(), netns.NetnsDriver),
    Entry(link.LinkKind(), link.LinkDriver, dict.fromkeys((RTM_NEWLINK, RTM_DELLINK), link.touched)),
    Entry(address.AddressKind(), address.AddressDriver, dict.fromkeys((RTM_NEWADDR, RTM_DELADDR), address.touched)),
    Entry(route.RouteKind(), route.RouteDriver, dict.fromkeys((RTM_NEWROUTE, RTM_DELROUTE), route.touched)),
    Entry(rule.RuleKind(), rule.RuleDriver, dict.fromkeys((RTM_NEWRULE, RTM_DELRULE), rule.touched)),
    Entry(sysctl.SysctlKind(), sysctl.SysctlDriver, {RTM_NEWNETCONF: sysctl.touched}),
    Entry(mptcp.EndpointKind(), mptcp.EndpointDriver),
    Entry(mptcp.LimitsKind(), mptcp.LimitsDriver),
    Entry(nat.NatKind(), nat.NatDriver),
)
