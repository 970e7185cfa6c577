"""Beside other network managers that would like to configure everything, with the opt-outs that are shipped."""

import pytest
from tests.lab import look, poll
from tests.lab.debian.campus import BootedCampus

OPT_OUT = "/usr/local/share/doc/neo/opt-out"
GREEDY = "[Match]\nName=*\n[Network]\nDHCP=yes\nLinkLocalAddressing=no\n"


def install(campus: BootedCampus, *places: tuple[str, str]) -> None:
    """Put the opt-outs where their first lines say that they belong."""
    for name, target in places:
        campus.host.ok(f'mkdir -p "$(dirname {target})" && cp {OPT_OUT}/{name} {target}')
        assert target in campus.host.ok(f"head -n 1 {OPT_OUT}/{name}")


def unmask(campus: BootedCampus, *units: str) -> None:
    """Undo what the tree has masked for faster boots."""
    campus.host.ok(f"systemctl unmask --quiet {' '.join(units)}")


def test_networkd_leaves_paths_alone(running: BootedCampus) -> None:
    before = running.converged()
    running.host.write("/etc/systemd/network/90-greedy.network", GREEDY)
    install(
        running,
        ("networkd-neo.network", "/etc/systemd/network/00-neo.network"),
        ("networkd-neo.conf", "/etc/systemd/networkd.conf.d/neo.conf"),
    )
    unmask(running, "systemd-networkd.service", "systemd-networkd.socket")
    for _ in range(2):
        running.host.ok("systemctl restart systemd-networkd")
        poll(lambda: len(setups(running)) == 5, 20, why="networkd has looked at every link")
        poll(lambda: setups(running)["ens3"] != "pending", 20, why="and made up its mind")
        assert {setups(running)[f"neo{number}"] for number in range(1, 5)} == {"unmanaged"}
        assert before.owned().difference(look(running.host.ns).owned()) == []
    assert "repaired" not in running.host.ok("neodctl events"), "nothing had to be put right"


def setups(campus: BootedCampus) -> dict[str, str]:
    """Return what networkd does with each link."""
    rows = [line.split() for line in campus.host.ok("networkctl list --no-legend").splitlines()]
    return {row[1]: row[-1] for row in rows if row[1] != "lo"}


def foreign(campus: BootedCampus) -> set[str]:
    """Return the links that have an IPv4 address of somebody else's."""
    addresses = look(campus.host.ns).addresses
    return {address.link for address in addresses if address.protocol != 110 and ":" not in address.ip}


def test_networkd_without_opt_outs_takes_more_leases_and_what_is_ours_stays(running: BootedCampus) -> None:
    before = running.converged().owned()
    running.host.write("/etc/systemd/network/90-greedy.network", GREEDY.replace("*", "neo*"))
    unmask(running, "systemd-networkd.service", "systemd-networkd.socket")
    running.host.ok("systemctl restart systemd-networkd")
    neos = [f"neo{number}" for number in range(1, 5)]
    poll(lambda: [setups(running).get(neo) for neo in neos] == ["configured"] * 4, 40, why="networkd has leased too")
    assert foreign(running).issuperset(neos), "the opt-out is needed: this is what it prevents"
    poll(lambda: before.difference(look(running.host.ns).owned()) == [], 20, why="all that is ours is there")


def test_network_manager_leaves_paths_alone(running: BootedCampus) -> None:
    if running.host.run("command -v nmcli").status:
        pytest.skip("the tree has no NetworkManager")
    before = running.converged()
    install(running, ("NetworkManager-neo.conf", "/etc/NetworkManager/conf.d/neo.conf"))
    unmask(running, "NetworkManager.service")
    running.host.ok("systemctl start NetworkManager")
    said = running.host.ok("nmcli --terse --fields DEVICE,STATE device")
    states = dict(line.rsplit(":", 1) for line in said.splitlines())
    assert {states[f"neo{number}"] for number in range(1, 5)} == {"unmanaged"}
    running.host.ok("systemctl restart NetworkManager")
    assert before.owned().difference(look(running.host.ns).owned()) == []


def dhcpcd(campus: BootedCampus, config: str) -> None:
    """Run dhcpcd on every link, as its package does but without udev, until it has leased for the NIC."""
    campus.host.write("/etc/dhcpcd.conf", f"ipv4only\nnoarp\nnodev\nnohook resolv.conf, hostname\n{config}")
    campus.host.ok("systemd-run --quiet --unit=dhcpcd --property=KillMode=control-group dhcpcd --nobackground")
    poll(lambda: dhcpcd_says(campus, "ens3: leased"), 60, 0.2, why="dhcpcd has leased for the NIC")


def dhcpcd_says(campus: BootedCampus, text: str) -> bool:
    return campus.host.run('journalctl -q --no-pager -u dhcpcd | grep -q "$1"', text).status == 0


def test_dhcpcd_leaves_paths_alone(running: BootedCampus) -> None:
    opt_out = running.host.ok(f"cat {OPT_OUT}/dhcpcd-neo.conf")
    assert "/etc/dhcpcd.conf" in opt_out.splitlines()[0]
    dhcpcd(running, opt_out)
    running.host.ok("ip link del neo2")  # one that comes while it runs
    running.converged()
    assert not dhcpcd_says(running, "neo[1-4]: ")
    assert foreign(running).isdisjoint(f"neo{number}" for number in range(1, 5))


def test_dhcpcd_without_its_opt_out_adds_routes_to_main_and_what_is_ours_comes_back(running: BootedCampus) -> None:
    """The server knows a client by its MAC, gives dhcpcd the address that neod leased, and dhcpcd writes it anew."""
    before = running.converged().owned()
    dhcpcd(running, "")
    for number in range(1, 5):
        poll(lambda n=number: dhcpcd_says(running, f"neo{n}: leased"), 60, 0.2, why="dhcpcd leases the same address")
    defaults = "ip route show default table main | grep -q 'dev neo'"
    poll(lambda: running.host.run(defaults).status == 0, 30, 0.2, why="the opt-out is needed: this is what it prevents")

    def ours_again() -> bool:
        now = look(running.host.ns).owned()
        same = {(one.link, one.ip) for one in now.addresses} == {(one.link, one.ip) for one in before.addresses}
        return same and (now.routes, now.rules) == (before.routes, before.rules)

    poll(ours_again, 30, 0.2, why="addresses, tables and rules are ours again")
    assert "by dhcpcd" in running.host.ok("neodctl events")
