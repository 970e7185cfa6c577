"""Options of links: what is asked of the kernel, what it says, and whether that can be changed in place."""

from dataclasses import replace

import pytest

from neod.kernel.moved_links import LinkElsewhere
from neod.kinds import link_codec, link_options
from neod.kinds.link import LinkKind, LinkSpec
from neod.kinds.link_port import LinkSeen, PortKind, PortSpec, as_port
from neod.model.change import Seen
from neod.model.key import LinkKey
from neod.netlink import generic
from neod.netlink.rtnetlink import IFINFO

VLAN = LinkSpec("vlan", "ens3.100", "ens3", options=(("id", "100"), ("protocol", "802.1ad")))
BOND = LinkSpec("bond", "bond0", options=(("mode", "802.3ad"), ("miimon", "100")))
BRIDGE = LinkSpec("bridge", "br0", options=(("stp", "on"), ("vlan_filtering", "on")))
KIND = LinkKind()


@pytest.mark.parametrize("spec", [VLAN, BOND, BRIDGE], ids=lambda spec: spec.driver)
def test_what_is_asked_for_reads_back_the_same(spec):
    payload = memoryview(link_codec.create_request(spec, 7))
    told = generic.link_data(payload, link_options.attributes(spec.driver))
    assert link_options.from_wire(spec.driver, told) == spec.options


@pytest.mark.parametrize(("alias", "options"), [("neo:br0", BRIDGE.options), ("", ())])
def test_options_are_read_of_a_link_that_lost_its_group_and_not_of_others(alias, options):
    payload = memoryview(link_codec.create_request(BRIDGE, 0))
    reading = link_codec.Reading(7, alias, Seen(replace(BRIDGE, options=()), False))
    assert link_codec.with_options(payload, reading).seen.spec.options == options


def test_what_a_new_bridge_has_anyway_is_not_asked_for_and_counts_as_read():
    plain = replace(BRIDGE, options=(("stp", "off"), ("vlan_filtering", "off")))
    payload = memoryview(link_codec.create_request(plain, 0))
    assert generic.link_data(payload, link_options.attributes("bridge")) == {}
    assert link_options.from_wire("bridge", {}) == plain.options


@pytest.mark.parametrize(
    ("want", "option", "value", "in_place"),
    [
        pytest.param(VLAN, "id", "101", False, id="another vlan"),
        pytest.param(VLAN, "protocol", "802.1q", False, id="another tag"),
        pytest.param(BOND, "mode", "active-backup", False, id="another mode"),
        pytest.param(BOND, "miimon", "0", True, id="miimon"),
        pytest.param(BRIDGE, "stp", "off", True, id="spanning tree"),
        pytest.param(BRIDGE, "vlan_filtering", "off", True, id="filtering"),
    ],
)
def test_another_value_is_seen_and_needs_another_link_where_the_kernel_keeps_it(want, option, value, in_place):
    have = replace(want, options=tuple((name, value if name == option else told) for name, told in want.options))
    assert not KIND.matches(have, want)
    assert KIND.in_place(have, want) is in_place
    changed = memoryview(link_codec.change_request(7, LinkKey("", "br0"), have, want))
    attribute = link_options.OPTIONS[want.driver][option].attribute
    assert set(generic.link_data(changed, link_options.attributes(want.driver))) == {attribute}


@pytest.mark.parametrize(("was_up", "flags"), [(True, (0, 0)), (False, (link_codec.IFF_UP, link_codec.IFF_UP))])
def test_flags_are_named_only_where_they_change(was_up, flags):
    """To the kernel no mask is every flag: IFF_UP alone would clear IFF_MULTICAST."""
    request = link_codec.change_request(7, LinkKey("", "br0"), replace(BRIDGE, up=was_up, mtu=1400), BRIDGE)
    assert IFINFO.unpack_from(request)[3:] == flags


def test_what_a_bridge_says_of_its_port_is_no_message_about_the_link():
    payload = memoryview(b"\x07" + IFINFO.pack(0, 0, 7, 0, 0)[1:])
    assert list(KIND.keys_of_event("", 17, payload, lambda index: "ens4")) == []
    assert KIND.link_of_event(17, payload) is None
    assert list(PortKind().keys_of_event("", 16, payload, lambda index: "ens4")) == []


@pytest.mark.parametrize(
    ("before", "alias", "told"), [("neo1", "", False), ("neo1", "neo:neo1", True), (None, "", True)]
)
def test_a_link_of_ours_that_lost_its_alias_is_read_and_a_new_one_has_none_yet(before, alias, told):
    head = IFINFO.pack(0, 1, 7, link_codec.IFF_UP, 0) + link_codec.attr_text(link_codec.IFLA_IFNAME, "neo1")
    marks = link_codec.attr_u32(link_codec.IFLA_GROUP, 110)
    noted = link_codec.attr_text(link_codec.IFLA_IFALIAS, alias) if alias else b""
    (mention,) = KIND.keys_of_event("", 16, memoryview(head + marks + noted), lambda index: before)
    assert (mention.shows is not None) is told


OURS, THEIRS = LinkSeen(5, "br0", True, 110, 0, ""), LinkSeen(6, "br9", True, 0, 0, "")
MASTERS = {5: OURS, 6: THEIRS}


@pytest.mark.parametrize(
    ("master", "mark", "seen"),
    [
        pytest.param(0, "", None, id="nobody's"),
        pytest.param(5, "neo-port-up-7", Seen(PortSpec("br0"), True), id="ours"),
        pytest.param(0, "neo-port-up-7", Seen(PortSpec(""), True), id="ours, taken out"),
        pytest.param(5, "", Seen(PortSpec("br0", marked=False), False), id="put into ours by somebody else"),
        pytest.param(6, "", Seen(PortSpec("br9", marked=False), False), id="somebody else's"),
        pytest.param(6, "neo-port-up-7", Seen(PortSpec("br9"), False), id="ours once, taken by somebody else"),
    ],
)
def test_a_port_is_ours_by_its_mark_and_by_what_it_is_in(master, mark, seen):
    assert as_port(LinkSeen(7, "ens4", True, 0, master, mark), MASTERS) == seen


MOVED = LinkElsewhere(9, "eth0", 3, "02:00:00:00:00:01", "neo:neo1", 110)


@pytest.mark.parametrize(
    ("changes", "ours"),
    [
        pytest.param({}, True, id="moved"),
        pytest.param({"mac": "02:00:00:00:00:02"}, True, id="with another MAC since"),
        pytest.param({"group": 0}, False, id="without the mark"),
        pytest.param({"alias": "neo:neo2"}, False, id="another link of ours"),
        pytest.param({"parent_index": 4}, False, id="another parent"),
    ],
)
def test_a_link_elsewhere_is_ours_by_mark_alias_and_parent(changes, ours):
    assert replace(MOVED, **changes).is_one_of({("neo:neo1", 3)}) is ours
