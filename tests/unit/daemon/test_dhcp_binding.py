"""Which addresses are guarded, and behind which parent."""

from ipaddress import IPv4Address

import pytest
from tests.doubles.builders import address, macvlan

from neod.daemon.dhcp_binding import DhcpBinding
from neod.features.parts import PathInfo
from neod.kinds import KINDS
from neod.model.change import Seen
from neod.model.facts import ProbePolicy
from neod.model.want import Origin
from neod.reconcile.observed import Observed

IP = IPv4Address("10.77.1.5")


class Service:
    def __init__(self):
        self.guarded = set()

    def want(self, clients):
        pass

    def guard(self, link, parent, mac, ip, *, leased):
        self.guarded.add((link, parent, ip))

    def release(self, link, parent, ip):
        self.guarded.remove((link, parent, ip))


def path(parent="up0", probe=ProbePolicy.AUTO):
    return PathInfo("m1", parent, "static", 1, (), Origin("macvlans.m1", 1), probe)


@pytest.fixture
def seen():
    observed = Observed(lambda key: KINDS[key.kind])
    for key, spec in (macvlan("m1"), address("m1", str(IP), 16)):
        observed.set(key, Seen(spec, owned=True))
    return observed


@pytest.mark.parametrize(
    ("after", "guarded"),
    [
        (path(), {("m1", "up0", IP)}),
        (path("up1"), {("m1", "up1", IP)}),
        (path(probe=ProbePolicy.OFF), set()),
        (None, set()),
    ],
    ids=["as before", "another parent", "probe off", "no path"],
)
def test_an_address_is_guarded_behind_the_parent_that_the_file_names_alone(seen, after, guarded):
    service = Service()
    binding = DhcpBinding(service)
    binding.want((), (path(),))
    binding.guard(None, seen)
    binding.want((), (after,) if after else ())
    binding.guard(None, seen)
    assert service.guarded == guarded
