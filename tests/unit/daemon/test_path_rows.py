"""The path table of ``neodctl status`` is of the links of neod's own namespace."""

from ipaddress import ip_address
from types import SimpleNamespace

from neod.daemon.views.path_rows import path_keys
from neod.features.parts import PathInfo
from neod.kinds import KINDS
from neod.kinds.address import AddressSpec
from neod.kinds.link import LinkSpec
from neod.model.key import AddressKey, LinkKey
from neod.model.want import Origin


def test_a_link_inside_a_namespace_that_has_the_name_of_an_uplink_is_not_the_uplink():
    path = PathInfo("eth0", "", "follow", 100, (), Origin("uplinks.eth0", 1))
    own = AddressKey("", "eth0", ip_address("192.0.2.2"), 24)
    inside = {
        AddressKey("proxy", "eth0", ip_address("10.254.0.2"), 30): AddressSpec(),
        LinkKey("proxy", "eth0"): LinkSpec("veth", "eth0"),
    }
    state = SimpleNamespace(
        desired=SimpleNamespace(written={**inside, own: AddressSpec()}), kind_of=lambda key: KINDS[key.kind]
    )
    controller = SimpleNamespace(state=state, intents=SimpleNamespace(of=lambda _: (path,)))
    assert path_keys(controller) == {"eth0": [own]}
