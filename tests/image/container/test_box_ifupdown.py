"""The state that ifupdown and its hooks made is the state that neod makes of the imported file."""

from tests.lab import Snapshot, look, poll
from tests.lab.debian.campus import NIC, BootedCampus

INTERFACES = """auto lo
iface lo inet loopback

auto ens3
iface ens3 inet static
    address 10.8.0.5/16
    gateway 10.8.0.1

auto neo1
iface neo1 inet dhcp
    pre-up ip link add link ens3 neo1 address 02:4e:65:6f:00:01 type macvlan mode private
    post-down ip link del neo1

auto neo2
iface neo2 inet dhcp
    pre-up ip link add link ens3 neo2 address 02:4e:65:6f:00:02 type macvlan mode private
    post-down ip link del neo2

auto neo3
iface neo3 inet static
    pre-up ip link add link ens3 neo3 address 02:4e:65:6f:00:03 type macvlan mode private
    post-down ip link del neo3
    address 10.8.0.33/16
    gateway 10.8.0.1
    metric 3
"""
TABLE = """case "$IFACE" in
    lo) exit 0 ;;
    ens3) TABLE=33 ;;
    *) TABLE=$(echo "$IFACE" | tr -dc 0-9) ;;
esac
"""
UP = f"""#!/bin/sh
{TABLE}
ADDRESS=$(ip -4 -o addr show dev "$IFACE" | awk '{{ print $4; exit }}' | cut -d/ -f1)
SUBNET=$(ip -4 route show dev "$IFACE" scope link | awk '{{ print $1; exit }}')
ip route replace "$SUBNET" dev "$IFACE" scope link src "$ADDRESS" table "$TABLE"
ip route replace default via 10.8.0.1 dev "$IFACE" table "$TABLE"
ip rule add from "$ADDRESS" table "$TABLE"
"""
DOWN = f"""#!/bin/sh
{TABLE}
ip route flush table "$TABLE"
while ip rule del table "$TABLE" 2>/dev/null; do :; done
"""
NAMES = ("neo1", "neo2", "neo3")


def paths(seen: Snapshot) -> dict[str, object]:
    """Return what makes the paths of each interface, whoever made it and whatever numbers the kernel gave it."""
    sources = {address.ip: address.link for address in seen.addresses if ":" not in address.ip}
    tables = {rule.source.removesuffix("/32"): rule.table for rule in seen.rules}
    return {
        name: (
            [(link.mac, link.mode) for link in seen.links if link.name == name],
            sorted(address for address, link in sources.items() if link == name),
            sorted(table for address, table in tables.items() if sources.get(address) == name),
            sorted(
                (route.dst, route.gateway, route.table) for route in seen.routes
                if route.link == name and 0 < route.table < 253
            ),
        )
        for name in (NIC, *NAMES)
    }  # fmt: skip


def test_ifupdown_with_hooks_and_neod_from_the_imported_file_make_the_same(campus: BootedCampus) -> None:
    host = campus.host
    host.ok(f"ip address flush dev {NIC}")
    host.write("/etc/network/interfaces", INTERFACES)
    for folder, hook in (("if-up.d", UP), ("if-post-down.d", DOWN)):
        host.write(f"/etc/network/{folder}/neo", hook)
        host.ok(f"chmod 755 /etc/network/{folder}/neo")
    host.ok(f"ifup {NIC} {' '.join(NAMES)}")
    by_ifupdown = paths(look(host.ns))
    assert [table for name in (NIC, *NAMES) for table in by_ifupdown[name][2]] == [33, 1, 2, 3]  # type: ignore[index]

    host.ok("neodctl import ifupdown >/root/neo.toml && neodctl validate /root/neo.toml")
    host.ok(f"ifdown {' '.join(NAMES)} && ip rule del table 33 && ip route flush table 33")
    host.ok("rm /etc/network/if-up.d/neo /etc/network/if-post-down.d/neo && cp /root/neo.toml /etc/neo/neo.toml")
    host.ok("systemctl start neod && neodctl wait --timeout 30s")
    poll(lambda: paths(look(host.ns)) == by_ifupdown or None, 10, why=f"{by_ifupdown} == {paths(look(host.ns))}")
