"""What only a whole machine shows: its boot, the loss of its power, udev, and a Debian kernel with its modules."""

from tests.lab.debian.host import WAIT_S, Host

ADDRESSES = ("203.0.113.11", "203.0.113.12")
UDEV = "/usr/lib/systemd/network/99-default.link"
FETCH = r"exec 3<>/dev/tcp/10.8.0.5/443; printf 'GET / HTTP/1.0\r\n\r\n' >&3; read -r -t 30 -u 3 said; echo $said"
RELAYED = """ip address replace 203.0.113.11/32 dev lan0
exec python3 - <<'PYTHON'
import socket
with socket.create_connection(("10.8.0.5", 443), 30, ("203.0.113.11", 0)) as relayed:
    relayed.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    print(relayed.recv(100))
PYTHON
"""


def serves(host: Host) -> None:
    """Wait until the program in the namespace answers the LAN, over the port that is exposed."""
    host.until(
        lambda: "200 OK" in host.run('nsenter --net=/run/netns/lan bash -c "$1"', FETCH).out, WAIT_S, "an answer"
    )


def dummies(host: Host) -> list[str]:
    """Return the addresses on dummy links in the namespace."""
    seen = host.json("ip -j -n proxy -4 address show type dummy")
    return sorted(info["local"] for link in seen for info in link.get("addr_info", ()))


def test_ready_means_that_the_first_pass_is_over(fresh: Host) -> None:
    fresh.configure()
    fresh.ok("systemctl enable --quiet --now neod", timeout_s=WAIT_S)
    there = fresh.json("ip -j link show type macvlan")
    assert {link["ifname"] for link in there if "UP" in link["flags"]} == {"neo1", "neo2", "neo3", "neo4"}
    assert dummies(fresh) == list(ADDRESSES)
    assert (fresh.show("ActiveState"), fresh.show("UnitFileState")) == ("active", "enabled")


def test_relay_addresses_are_on_a_dummy_link_and_relays_are_answered_through_it(running: Host) -> None:
    assert dummies(running) == list(ADDRESSES)
    serves(running)
    running.ok("ip route add 203.0.113.11 via 10.8.0.1")
    assert "200 OK" in running.ok('nsenter --net=/run/netns/lan bash -c "$1"', RELAYED)
    assert "10.254.1.1 " in running.ok("journalctl --no-pager -q -u proxy"), "it came from the first of relay_snat"


def test_what_others_take_away_comes_back(running: Host) -> None:
    before = running.leases()
    running.ok("for link in $(ip -o -n proxy link show type dummy | cut -d: -f2); do ip -n proxy link del $link; done")
    running.ok("ip link del neo1; ip route flush table 2; ip rule del table 3; nft flush ruleset")
    running.until(lambda: dummies(running) == list(ADDRESSES), 60, "the relays' addresses are back")
    running.converged()
    assert running.leases() == before
    serves(running)


def test_after_a_reboot_all_is_there_with_the_leases_of_before(running: Host) -> None:
    before, macs, discovers = running.leases(), running.macs(), running.count("DHCPDISCOVER")
    assert len(before) == 4
    running.reboot()
    running.converged()
    assert (running.leases(), running.macs()) == (before, macs)
    assert running.count("DHCPDISCOVER") == discovers, "it asked for what it had"
    serves(running)
    ready = int(running.show("ActiveEnterTimestampMonotonic"))
    assert 0 < ready < int(running.show("ExecMainStartTimestampMonotonic", "proxy")), (
        "the program starts when its namespace is there"
    )


def test_a_loss_of_power_loses_no_lease_and_a_bad_file_is_not_used(running: Host) -> None:
    running.configure(6)
    running.reload()
    before, discovers = running.leases(), running.count("DHCPDISCOVER")
    assert len(before) == 6
    running.until(lambda: running.stored().issuperset(before.values()), 60, "the leases are on disk")
    running.write("/etc/neo/neo.toml", "[macvlans.neo]\ncuont = 6\n")
    running.ok("sync /etc/neo/neo.toml")
    running.lose_power()
    running.converged()
    assert running.leases() == before
    assert running.count("DHCPDISCOVER") <= discovers
    assert "cuont" in running.run("neodctl status").out
    running.configure(2)
    running.reload()
    assert running.leases() == {name: before[name] for name in ("neo1", "neo2")}


def test_the_watchdog_brings_back_one_that_hangs(running: Host) -> None:
    before = running.leases()
    running.write("/etc/systemd/system/neod.service.d/fast.conf", "[Service]\nWatchdogSec=20\n")
    running.ok("systemctl daemon-reload && systemctl restart neod", timeout_s=WAIT_S)
    pid = running.pid()
    running.ok("kill -STOP $1", str(pid))
    running.until(lambda: running.pid() not in (0, pid), WAIT_S, "another process serves")
    running.until(lambda: running.show("SubState") == "running", WAIT_S, "it is ready")
    running.converged()
    assert "watchdog" in running.ok("journalctl --no-pager -q -u neod").lower()
    assert running.leases() == before


def test_udev_gives_no_other_mac_and_no_other_name(running: Host) -> None:
    assert "MACAddressPolicy=persistent" in running.ok(f"cat {UDEV}")
    before = running.macs()
    running.ok("ip link del neo1 && ip link del neo3")
    running.until(lambda: running.macs() == before, 60, "they are back as they were")
    running.ok("udevadm settle")
    for name in before:
        assert f"ID_NET_LINK_FILE={UDEV}" in running.ok("udevadm info /sys/class/net/$1", name), "udev has had its say"
    running.converged()
    assert running.macs() == before
    assert "modified" not in running.ok("neodctl events")


def test_modules_of_the_legacy_tables_are_loaded_by_the_kernel_when_asked_for(running: Host) -> None:
    assert "iptable_nat" not in running.ok("lsmod")
    running.configure(more='[nat]\nbackend = "iptables"\n')
    running.reload()
    assert "iptable_nat" in running.ok("lsmod")
    assert "NEO-" in running.ok("iptables-legacy-save -t nat")
    serves(running)
