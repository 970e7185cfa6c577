"""Kinds of links that a small kernel lacks, on Debian's own: a VLAN and a bond with leases on them, and a dummy."""

from typing import Any

from tests.lab.debian.host import WAIT_S, Host

FILE = """[links."ens3.100"]
kind = "vlan"
parent = "ens3"
id = 100

[links.bond0]
kind = "bond"
ports = ["ens4", "ens5"]

[links.dummy7]
kind = "dummy"
mtu = 1400

[links.br0]
kind = "bridge"
vlan_filtering = true

[macvlans.tagged]
parent = "ens3.100"
count = 2
mptcp = []

[macvlans.double]
parent = "bond0"
count = 2
table_base = 50
mptcp = []
"""
LAN = """set -e
ip -n lan link add lan0.100 link lan0 type vlan id 100
ip -n lan address add 10.100.0.1/24 dev lan0.100
ip -n lan link set lan0.100 up
ip -n lan link add lanbr type bridge forward_delay 0
ip -n lan address add 10.101.0.1/24 dev lanbr
ip -n lan link set lanbr up
for number in 4 5; do
    ip link add ens$number type veth peer name lan$number netns lan
    ip link set ens$number up
    ip -n lan link set lan$number master lanbr up
done
for pair in lan0.100=10.100.0 lanbr=10.101.0; do
    link=${pair%%=*} net=${pair#*=}
    systemd-run --quiet --unit=dhcp-$link --property=NetworkNamespacePath=/run/netns/lan \\
        /usr/sbin/dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --user=root --interface=$link \\
        --bind-interfaces --dhcp-range=$net.10,$net.200,1h --dhcp-authoritative --no-ping --dhcp-leasefile=/run/$link
done
"""
OPTIONS = ("id", "protocol", "mode", "miimon", "vlan_filtering")
MACVLANS = {"tagged1", "tagged2", "double1", "double2"}
DRIFTS = (
    "ip link del ens3.100",
    "ip link del bond0",
    "ip link del dummy7",
    "ip link set ens4 nomaster",
    "ip link set ens5 down",
    "neodctl pause && ip link set ens3.100 down && ip link set ens3.100 name other; neodctl resume",
    "ip link del ens3.100; ip link add ens3.100 group 110 link ens3 type vlan id 101",
    "ip link set bond0 type bond miimon 0",
    "ip link set br0 type bridge vlan_filtering 0",
    "ip link set dummy7 mtu 1300 address 02:00:00:00:00:07",
    "ip netns add away; ip link set ens3.100 netns away",
)


def links(host: Host) -> dict[str, Any]:
    """Return what has to stay so of every link that neod makes or uses, by name."""
    found = {}
    for link in host.json("ip -j -d link show"):
        data = link.get("linkinfo", {}).get("info_data", {})
        options = {name: data.get(name) for name in OPTIONS if name in data}
        flags = "UP" in link["flags"], link.get("group"), link.get("master"), tuple(link.get("altnames", ()))
        found[link["ifname"]] = (link["address"], link["mtu"], link.get("link"), options, flags)
    return {name: told for name, told in found.items() if name.startswith(("ens", "bond", "dummy", "br"))}


def test_a_vlan_a_bond_and_a_dummy_are_made_leased_on_repaired_and_taken_away(fresh: Host) -> None:
    fresh.ok(LAN)
    before = links(fresh)
    fresh.write("/etc/neo/neo.toml", FILE)
    fresh.ok("systemctl enable --quiet --now neod", timeout_s=WAIT_S)
    fresh.converged()
    made, leases = links(fresh), fresh.leases()
    assert leases.keys() == MACVLANS
    assert {name: ip.rsplit(".", 1)[0] for name, ip in leases.items()} == {
        "tagged1": "10.100.0", "tagged2": "10.100.0", "double1": "10.101.0", "double2": "10.101.0",
    }  # fmt: skip
    assert made["ens3.100"][2:4] == ("ens3", {"protocol": "802.1Q", "id": 100})
    assert made["bond0"][3]["mode"] == "active-backup"
    assert made["bond0"][3]["miimon"] == 100
    assert [made[name][4][:3:2] for name in ("ens4", "ens5")] == [(True, "bond0")] * 2
    assert (made["dummy7"][1], made["br0"][3]["vlan_filtering"]) == (1400, 1)
    for drift in DRIFTS:
        fresh.ok(drift)
        fresh.until(lambda: links(fresh) == made, WAIT_S, f"repaired: {drift}")
    fresh.converged()
    assert fresh.leases() == leases
    fresh.ok("systemctl kill --signal=KILL neod")
    fresh.until(lambda: fresh.run("neodctl status").status == 0, WAIT_S, "another process serves")
    assert (links(fresh), fresh.leases()) == (made, leases)
    changed = FILE.replace("[links.bond0]", '[links.bond0]\nmode = "balance-rr"').replace("mtu = 1400", "mtu = 1410")
    fresh.write("/etc/neo/neo.toml", changed)
    fresh.reload()
    assert (links(fresh)["bond0"][3]["mode"], links(fresh)["dummy7"][1]) == ("balance-rr", 1410)
    assert [links(fresh)[name][4][2] for name in ("ens4", "ens5")] == ["bond0"] * 2
    fresh.ok("neodctl down")
    assert links(fresh) == before
    assert "group 110" not in fresh.ok("ip link; ip -n away link")
