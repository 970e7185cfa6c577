"""Links of ours that somebody gave each other's names or MACs are repaired, also if that is done for one at a time."""

import pytest

from neod.kinds.link import LinkKey, LinkSpec

pytestmark = pytest.mark.kernel

ONE, TWO = LinkKey("", "neo1"), LinkKey("", "neo2")
MACS = {ONE: "02:4e:65:6f:00:01", TWO: "02:4e:65:6f:00:02"}
WANTED = {key: LinkSpec("macvlan", key.name, "up0", "private", mac) for key, mac in MACS.items()}
EXCHANGED = {
    "names": ("neo1 name x", "neo2 name neo1", "x name neo2"),
    "MACs": ("neo1 address 02:99:00:00:00:01", f"neo2 address {MACS[ONE]}", f"neo1 address {MACS[TWO]}"),
}


@pytest.mark.parametrize("what", EXCHANGED)
@pytest.mark.parametrize("first", [ONE, TWO], ids=str)
def test_each_gets_its_own_again_whichever_is_repaired_first(real, what, first):
    async def repaired(driver, key):
        have = (await driver.observe([ONE, TWO]))[key].spec
        return await driver.put([(key, WANTED[key], have)])

    async def work(drivers, ports):
        driver = drivers["", "link"]
        assert await driver.put([(key, WANTED[key], None) for key in WANTED]) == [None, None]
        for words in EXCHANGED[what]:
            real.ip("link", "set", *words.split())
        order = [first, TWO if first is ONE else ONE]
        assert [await repaired(driver, key) for key in order] == [[None], [None]]
        there = await driver.observe([ONE, TWO])
        assert {key: (seen.spec.name, seen.spec.mac, seen.spec.up) for key, seen in there.items()} == {
            key: (key.name, mac, True) for key, mac in MACS.items()
        }

    real.run(work)
