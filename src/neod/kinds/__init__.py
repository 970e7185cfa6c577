"""The families of kernel objects that neo keeps, one line each."""

from typing import Final

from neod.kinds import address, link, mptcp, nat, netns, route, rule, sysctl
from neod.model.kind import Entry

REGISTRY: Final = (
    Entry(netns.NetnsKind(), netns.NetnsDriver),
    Entry(link.LinkKind(), link.LinkDriver),
    Entry(address.AddressKind(), address.AddressDriver),
    Entry(route.RouteKind(), route.RouteDriver),
    Entry(rule.RuleKind(), rule.RuleDriver),
    Entry(sysctl.SysctlKind(), sysctl.SysctlDriver),
    Entry(mptcp.EndpointKind(), mptcp.EndpointDriver),
    Entry(mptcp.LimitsKind(), mptcp.LimitsDriver),
    Entry(nat.NatKind(), nat.NatDriver),
)
