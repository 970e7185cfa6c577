"""A kernel without nftables of family arp: arp_ignore on the NIC, where that cuts off nothing of others."""

import pytest
from tests.doubles import builders

from neod.kinds.arp import ArpDriver, ArpSpec
from neod.kinds.sysctl import SysctlDriver
from neod.model.key import ArpKey

PATH = "net/ipv4/conf/up0/arp_ignore"
NIC, ADDRESS = builders.arp("nic", "up0"), builders.arp("address", "192.0.2.77")


@pytest.fixture
def without(monkeypatch):
    """A port that finds no such tables."""
    monkeypatch.setattr("neod.kernel.netfilter.nft.arp.ArpTable.change", lambda *_: False)
    monkeypatch.setattr("neod.kernel.netfilter.nft.arp.ArpTable.read", lambda *_: {})


async def put(driver):
    return await driver.put([(key, spec, None) for key, spec in (NIC, ADDRESS)])


def test_it_is_set_and_put_back(real, without):
    async def work(_, ports):
        driver = ArpDriver(ports)
        assert await put(driver) == [None, None]
        assert ports.sysctls.read([PATH]) == {PATH: "1"}
        writes = ports.sysctls.writes
        again = ArpDriver(ports)  # after a restart
        seen = await again.observe_all([NIC[0], ADDRESS[0]])
        assert {key: one.spec for key, one in seen.items()} == dict((NIC, ADDRESS))
        assert await SysctlDriver(ports).observe_all(()) == {}, (
            "it is not taken for a sysctl that nobody wants any more"
        )
        assert await again.drop([NIC[0], ADDRESS[0]]) == [None, None]
        assert (ports.sysctls.read([PATH]), ports.sysctls.writes) == ({PATH: "0"}, writes + 1)
        assert ports.sysctls.originals() == {}

    real.run(work)


@pytest.mark.parametrize(
    ("link", "address"), [("lo", "198.51.100.7/32"), ("up1", "192.0.2.50/24"), ("up1", "10.1.1.1/32")]
)
def test_it_is_not_set_while_an_address_would_be_cut_off_and_that_is_named(real, without, link, address):
    real.ip("address", "add", address, "dev", link)

    async def work(_, ports):
        driver = ArpDriver(ports)
        refused, _ = await put(driver)
        assert f"{address.split('/')[0]} of {link}" in str(refused)
        assert ports.sysctls.read([PATH]) == {PATH: "0"}
        assert ArpKey("", "nic", "up0") not in await driver.observe([NIC[0]])

    real.run(work)


def test_it_is_taken_back_when_such_an_address_comes_later(real, without):
    async def work(_, ports):
        driver = ArpDriver(ports)
        await put(driver)
        real.ip("address", "add", "198.51.100.7/32", "dev", "lo")
        assert (await driver.observe([NIC[0]]))[NIC[0]].spec == ArpSpec(whole=False)
        refused, _ = await put(driver)
        assert refused.transient
        assert ports.sysctls.read([PATH]) == {PATH: "0"}

    real.run(work)


def test_addresses_that_the_segment_does_not_reach_by_the_nic_are_no_obstacle(real, without):
    real.ip("address", "add", "172.17.0.1/16", "dev", "up1")
    assert real.run(lambda _, ports: put(ArpDriver(ports))) == [None, None]


def test_value_that_an_older_neo_found_is_the_one_to_put_back(real, without):
    async def work(_, ports):
        assert ports.sysctls.change({PATH: "1"}) == {PATH: None}
        driver = ArpDriver(ports)
        assert await put(driver) == [None, None]
        assert await SysctlDriver(ports).observe_all(()) == {}
        await driver.drop([NIC[0]])
        assert ports.sysctls.read([PATH]) == {PATH: "0"}

    real.run(work)


def test_value_of_somebody_else_is_enough_and_stays(real, without):
    async def work(_, ports):
        ports.sysctls.write(PATH, "2")
        real.ip("address", "add", "198.51.100.7/32", "dev", "lo")
        driver = ArpDriver(ports)
        assert await put(driver) == [None, None]
        await driver.drop([NIC[0]])
        assert ports.sysctls.read([PATH]) == {PATH: "2"}
        assert ports.sysctls.originals() == {}

    real.run(work)
