"""Who is in the way of a link or a port, told by what the kernel said and by the links that are there."""

import errno
from dataclasses import replace

import pytest

from neod.kinds.link import LinkKind
from neod.kinds.link_codec import LinkSpec, Reading, by_key
from neod.kinds.link_obstacles import mac_elsewhere, of_link, of_port
from neod.kinds.link_room import aside_of
from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import LinkKey

MAC, OTHER = "02:4e:65:6f:00:01", "02:4e:65:6f:00:02"
WANTED = LinkSpec("macvlan", "neo1", "ens3", "private", MAC, 9000)
VLAN = LinkSpec("vlan", "v100", "ens3", options=(("id", "100"),))
NIC = LinkSpec("", "ens3", mac="52:54:00:00:00:01", mtu=1500)


def reading(spec, *, owned=False, type=1, index=7, alias=""):
    return Reading(index, alias, Seen(spec, owned), type)


def there(*specs, **odd):
    return {spec.name: reading(spec, **odd) for spec in specs}


CASES = [
    (errno.EEXIST, WANTED, there(replace(NIC, altnames=("a", "neo1"))), "neo1 is another name of ens3:", "ens3", True),
    (errno.EEXIST, WANTED, there(NIC, replace(WANTED, mac=None)), "another link is called neo1:", "neo1", True),
    (errno.EEXIST, VLAN, there(NIC, replace(VLAN, name="x")), "VLAN 100 of ens3 is there already: x has it", "x", True),
    (errno.EEXIST, VLAN, there(NIC), "a link in another namespace has it", None, False),
    (errno.EADDRINUSE, WANTED, there(replace(NIC, mac=MAC)), f"{MAC} is the MAC of ens3 itself", "ens3", True),
    (errno.EADDRINUSE, WANTED, there(NIC, replace(WANTED, name="c")), f"{MAC} is in use on ens3 by c", "c", True),
    (errno.EADDRNOTAVAIL, WANTED, there(NIC), f"{MAC} is no MAC that a link can have", None, False),
    (errno.EBUSY, WANTED, there(replace(NIC, master="br0")), "ens3 is a port of br0: use br0", "ens3", False),
    (errno.EBUSY, WANTED, there(NIC, LinkSpec("ipvlan", "i0", "ens3")), "i0 (ipvlan) has ens3 for itself", "i0", False),
    (errno.EINVAL, WANTED, there(NIC, replace(WANTED, name="p", mode="passthru")), "mode passthru", "p", False),
    (errno.EINVAL, WANTED, there(replace(NIC, driver="tun"), type=65534), "needs an Ethernet NIC", "ens3", False),
    (errno.EINVAL, WANTED, there(replace(WANTED, name="ens3", parent="e9")), "on e9: write e9", "ens3", False),
    (errno.EINVAL, WANTED, there(NIC), "mtu 9000 is more than ens3 has: that is 1500", "ens3", False),
    (errno.ERANGE, replace(VLAN, mtu=9000), there(NIC), "mtu 9000 is more than ens3 has", "ens3", False),
    (errno.EINVAL, WANTED, {}, "there is no ens3", "ens3", False),
    (errno.ENODEV, VLAN, {}, "there is no ens3", "ens3", False),
    (errno.ENETDOWN, VLAN, there(replace(NIC, up=False)), "ens3 is down: `ip link set ens3 up`", "ens3", False),
    (errno.EOPNOTSUPP, VLAN, there(NIC), "modprobe 8021q", None, False),
    (errno.EPERM, WANTED, there(NIC), "CAP_NET_ADMIN", None, False),
]


@pytest.mark.parametrize(("code", "spec", "links", "text", "holder", "foreign"), CASES)
def test_who_is_in_the_way_of_a_link_is_named(code, spec, links, text, holder, foreign):
    obstacle = of_link("", spec, KernelError("link add", code, "no"), links)
    assert text in obstacle.text
    assert (obstacle.holder, obstacle.foreign) == (LinkKey("", holder) if holder else None, foreign)


def test_a_link_of_ours_in_the_way_is_no_conflict():
    links = {"ens3": reading(NIC), "neo2": reading(replace(WANTED, name="neo2"), owned=True)}
    obstacle = of_link("", WANTED, KernelError("link set", errno.EADDRINUSE, "no"), links)
    assert (obstacle.holder, obstacle.foreign) == (LinkKey("", "neo2"), False)


def test_where_nothing_is_known_the_kernels_words_stand_alone():
    error = KernelError("link add", errno.EIO, "I/O error")
    assert of_link("", WANTED, error, there(NIC)) is None
    assert str(error.because(None)) == "link add: EIO: I/O error"


def test_a_mac_in_use_in_another_namespace_is_told_with_the_place_where_it_is_known():
    assert "by eth0 in the namespace web:" in mac_elsewhere(WANTED, {MAC: "eth0 in the namespace web"}).text
    assert "a namespace that neod does not see" in mac_elsewhere(WANTED, {}).text


@pytest.mark.parametrize(
    ("code", "links", "text"),
    [
        (errno.ENODEV, {}, "there is no ens3"),
        (errno.EBUSY, there(replace(NIC, master="br9")), "ens3 is a port of br9"),
        (errno.EBUSY, there(NIC, WANTED, replace(WANTED, name="x")), "ens3 carries neo1 and 1 more"),
        (errno.ELOOP, there(replace(NIC, driver="bridge")), "ens3 is a bridge, which cannot be a port"),
        (errno.EINVAL, there(NIC, type=772), "ens3 is no Ethernet device, which cannot be a port"),
        (errno.EPERM, there(NIC), "CAP_NET_ADMIN"),
    ],
)
def test_who_is_in_the_way_of_a_port_is_named(code, links, text):
    assert text in of_port("", "ens3", "br0", KernelError("link set", code, "no"), links).text


# ── which link is which ───────────────────────────────────────────────────────


def ours(name, alias, index):
    return reading(replace(WANTED, name=name), owned=True, alias=f"neo:{alias}", index=index)


def keys(readings, known=()):
    found = by_key("", readings, {index: LinkKey("", name) for index, name in known})
    return {key.name: (one.index, one.seen.spec.marked) for key, one in found.items()}


def test_links_that_exchanged_their_names_keep_their_keys():
    assert keys([ours("neo2", "neo1", 5), ours("neo1", "neo2", 6)]) == {"neo1": (5, True), "neo2": (6, True)}


def test_what_is_known_by_index_counts_before_an_alias_that_others_wrote():
    swapped = [ours("neo1", "neo2", 5), ours("neo2", "neo1", 6)]
    assert keys(swapped, [(5, "neo1"), (6, "neo2")]) == {"neo1": (5, False), "neo2": (6, False)}


def test_a_link_of_ours_whose_name_others_took_keeps_its_key_and_nothing_is_put_on_it():
    readings = [ours("x", "neo1", 5), reading(replace(NIC, name="neo1"), index=8)]
    assert keys(readings) == {"neo1": (5, True)}
    (found,) = by_key("", readings, {}).values()
    assert not LinkKind().usable(found.seen.spec), "what is done to its name is done to the other's"
    assert LinkKind().usable(by_key("", readings[:1], {})[LinkKey("", "neo1")].seen.spec)


def test_a_renamed_link_whose_name_another_of_ours_has_is_found_by_the_name_it_has():
    assert keys([ours("x", "neo1", 5), ours("neo1", "neo1", 6)]) == {"x": (5, False), "neo1": (6, True)}


def test_a_link_that_lost_its_group_is_told_by_its_alias():
    lost = reading(WANTED, alias="neo:neo1", index=5)
    assert keys([lost]) == {"neo1": (5, False)}


def test_whoever_has_what_another_wants_goes_aside_and_no_other():
    def item(key, have_name, have_mac, mac):
        have = replace(WANTED, name=have_name, mac=have_mac)
        return LinkKey("", key), replace(WANTED, name=key, mac=mac), have

    circle = [item("neo1", "neo2", OTHER, MAC), item("neo2", "neo1", MAC, OTHER)]
    chain = [item("neo1", "x", MAC, MAC), item("neo3", "neo1", OTHER, OTHER)]
    indexes = {LinkKey("", f"neo{number}"): number for number in (1, 2, 3)}
    aside = aside_of(circle, indexes)
    assert {one.name for one in aside.values()} == {"neo~1", "neo~2"}
    assert not {one.mac for one in aside.values()} & {MAC, OTHER}
    assert {key.name: one.name for key, one in aside_of(chain, indexes).items()} == {"neo3": "neo~3"}
    assert aside_of([item("neo1", "x", MAC, OTHER)], indexes) == {}
