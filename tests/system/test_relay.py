"""Relays and a proxy server with neod on all of them: real packets, both backends, and what others break."""

import signal
import subprocess
import time

import pytest
from tests.lab.netns import inside, poll, run
from tests.lab.relays import Relays, address, echo, inode, settled

pytestmark = pytest.mark.kernel

BACKENDS = ("nftables", "iptables")
OURS = "nft list tables; iptables-legacy-save; ip6tables-legacy-save"


@pytest.fixture
def relays(laboratory):
    with Relays() as made:
        yield made


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_connection_has_a_subflow_directly_and_through_each_relay(relays, backend):
    relays.start(backend)
    server = relays.listen()
    client = relays.connect(address("proxy"))
    there, _ = server.accept()
    relays.sockets.append(there)
    assert echo(client, there) == b"hello"
    assert settled(there, 3) == 3
    assert echo(client, there, b"x" * 200_000) == b"x" * 200_000


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_relay_snat_the_kernel_refuses_what_comes_from_the_relays(relays, backend):
    relays.start(backend, snat=False)
    server = relays.listen()
    client = relays.connect(address("proxy"))
    there, _ = server.accept()
    relays.sockets.append(there)
    assert echo(client, there) == b"hello"
    assert settled(there, 3, timeout_s=2) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_relay_hands_on_tcp_udp_and_ipv6(relays, backend):
    relays.start(backend)
    for version in (4, 6):
        server = relays.listen(version, protocol=0)
        client = relays.connect(address("relay1", version), protocol=0)
        there, _ = server.accept()
        assert echo(client, there) == b"hello"
        there.close()
        server.close()
    names, asking = relays.datagrams("inner"), relays.datagrams("client")
    asking.sendto(b"question", (address("relay2"), 5305))
    text, sender = names.recvfrom(100)
    names.sendto(b"answer", sender)
    assert (text, asking.recvfrom(100)) == (b"question", (b"answer", (address("relay2"), 5305)))


def test_what_runs_inside_reaches_the_internet_as_the_uplink(relays):
    relays.start()
    with inside(relays.ns["client"]):
        import socket

        listener = relays._keep(socket.create_server(("0.0.0.0", 8080)))
        listener.settimeout(10)
    with inside(relays.inner):
        made = relays._keep(socket.create_connection((address("client"), 8080), 10))
    assert listener.accept()[1][0] == address("proxy")
    assert made.getpeername()[1] == 8080


COUNTERS = "iptables-legacy-save -c | grep -v '^[#:]' || true"
FLUSHES = {
    "nftables": ("nft flush ruleset", "nft delete table inet neo", "nft flush chain inet neo prerouting"),
    "iptables": (
        "iptables-legacy -t nat -F",
        "iptables-legacy -t nat -F; iptables-legacy -t nat -X",
        "iptables-legacy -F",
    ),
}


@pytest.mark.parametrize(("backend", "flush"), [(b, f) for b in BACKENDS for f in FLUSHES[b]])
def test_what_is_flushed_comes_back_and_connections_survive_it(relays, backend, flush):
    relays.start(backend)
    server = relays.listen(protocol=0)
    client = relays.connect(address("relay1"), protocol=0)
    there, _ = server.accept()
    before = ruleset(relays, "relay1")
    relays.sh("relay1", flush)
    poll(lambda: ruleset(relays, "relay1") == before, 5, 0.01, "the rules are back")
    assert echo(client, there) == b"hello"
    relays.connect(address("relay1"), protocol=0)
    server.accept()[0].close()


def ruleset(relays, name):
    """What the tools show, without counters and handles."""
    shown = relays.sh(name, "nft -s list ruleset; iptables-legacy-save; ip6tables-legacy-save", check=False)
    return [line for line in shown.splitlines() if not line.startswith(("#", ":", "COMMIT", "*"))]


@pytest.mark.parametrize("fault", ["delete", "replace", "lazy umount", "link", "inner link", "addresses", "loopback"])
def test_a_namespace_is_rebuilt_whatever_happens_to_it(relays, fault):
    relays.start("nftables")
    inner, proxy = relays.inner, relays.ns["proxy"]
    before = inode(inner)
    commands = {
        "delete": [["ip", "netns", "del", inner]],
        "replace": [["ip", "netns", "del", inner], ["ip", "netns", "add", inner]],
        "lazy umount": [["umount", "-l", f"/run/netns/{inner}"]],
        "link": [["ip", "-n", proxy, "link", "del", link_of(relays)]],
        "inner link": [["ip", "-n", inner, "link", "del", "eth0"]],
        "addresses": [["ip", "-n", inner, "addr", "flush", "dev", name] for name in ("eth0", "relays")],
        "loopback": [["ip", "-n", inner, "link", "set", "lo", "down"]],
    }[fault]
    if fault == "replace":  # or neod is faster than the second command
        relays.hosts["proxy"].neod.signal(signal.SIGSTOP)
    for command in commands:
        subprocess.run(command, check=True)
    relays.hosts["proxy"].neod.signal(signal.SIGCONT)
    poll(lambda: whole(relays), 10, 0.05, f"rebuilt; {relays.hosts['proxy'].tail()}")
    relays.hosts["proxy"].wait()
    rebuilt = inode(inner) != before
    assert rebuilt == (fault in ("delete", "replace", "lazy umount"))
    server = relays.listen(protocol=0)
    client = relays.connect(address("relay2"), protocol=0)
    assert echo(client, server.accept()[0]) == b"hello"


def link_of(relays):
    with_peer = run("ip", "-n", relays.ns["proxy"], "-o", "link", "show", "group", "110").stdout
    return with_peer.split(": ")[1].split("@")[0]


def whole(relays):
    """Whether the namespace has all that the file asks for, by what ``ip`` shows."""
    done = run("ip", "-n", relays.inner, "-o", "addr", check=False)
    routes = run("ip", "-n", relays.inner, "route", check=False)
    endpoints = run("ip", "-n", relays.inner, "mptcp", "endpoint", check=False)
    loopback = run("ip", "-n", relays.inner, "-o", "link", "show", "lo", check=False)
    wanted = ("10.254.0.2/30", "fd00:254::2/126", f"{address('relay1')}/32", f"{address('relay2')}/32")
    return (
        all(text in done.stdout for text in wanted)
        and "default via 10.254.0.1" in routes.stdout
        and endpoints.stdout.count("signal") == 2
        and ",UP" in loopback.stdout
    )


def test_an_empty_file_that_a_private_mount_leaves_is_repaired(relays):
    run("unshare", "-m", "sh", "-c", f"mount --make-rprivate /; ip netns add {relays.inner}")
    relays.start("nftables")
    assert whole(relays)


def test_a_namespace_of_somebody_else_is_a_conflict_and_left_alone(relays):
    run("ip", "netns", "add", relays.inner)
    host = relays.hosts["proxy"]
    host.write_config(relays.proxy_file("nftables"))
    host.start_neod()
    host.ready()
    poll(lambda: "conflict" in host.ctl("status").out, 10, 0.1, "the conflict is shown")
    assert run("ip", "-n", relays.inner, "-o", "link").stdout.count("\n") == 1
    assert host.ctl("down").status in (0, 1)
    assert relays.inner in run("ip", "netns").stdout


@pytest.mark.parametrize("backend", BACKENDS)
def test_down_leaves_nothing_of_ours_and_everything_of_others(relays, backend):
    host = relays.hosts["relay1"]
    keep = "iptables-legacy -t nat -A PREROUTING -p tcp --dport 1 -j ACCEPT; nft add table ip m; nft add chain ip m c"
    relays.sh("relay1", keep)
    relays.sh("proxy", keep)
    foreign = {name: ruleset(relays, name) for name in ("relay1", "proxy")}
    relays.start(backend)
    assert ruleset(relays, "relay1") != foreign["relay1"]
    for name in ("relay1", "proxy"):
        assert relays.hosts[name].ctl("down").status == 0, relays.hosts[name].tail()
        assert ruleset(relays, name) == foreign[name]
    assert host.sysctl("ipv4/ip_forward") == "0"
    assert relays.inner not in run("ip", "netns").stdout.split()
    assert "neo-" not in run("ip", "-n", relays.ns["proxy"], "link").stdout


def test_rules_that_others_write_meanwhile_survive(relays):
    """The kernel takes a stale table if only the number of entries is right: without the lock some would be lost."""
    relays.start("iptables")
    host = relays.hosts["relay1"]
    add = "for i in $(seq 10); do iptables-legacy -w -t nat -A POSTROUTING -p tcp --dport $(({}00+i)) -j ACCEPT; done"
    enter = ["nsenter", f"--net=/run/netns/{relays.ns['relay1']}", "sh", "-c"]
    writers = [subprocess.Popen([*enter, add.format(n)]) for n in range(1, 6)]
    for port in range(2000, 2006):
        host.write_config(relays.relay_file("iptables", f'[forwards.more]\nports = [{port}]\nto = "198.51.100.10"\n'))
        assert host.ctl("reload").status == 0, host.tail()
    for writer in writers:
        assert writer.wait(60) == 0
    host.wait()
    rules = relays.sh("relay1", "iptables-legacy -t nat -S POSTROUTING")
    assert rules.count("-j ACCEPT") == 50
    assert "--dport 2005" in relays.sh("relay1", "iptables-legacy -t nat -S NEO-PREROUTING")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pass_that_changes_nothing_writes_nothing_and_a_restart_neither(relays, backend):
    relays.start(backend)
    host = relays.hosts["relay1"]
    before = generation(relays), relays.sh("relay1", COUNTERS)
    assert host.ctl("apply").status == 0
    host.stop()
    host.start_neod()
    host.wait()
    assert host.ctl("apply").status == 0
    assert (generation(relays), relays.sh("relay1", COUNTERS)) == before
    assert not [line for line in host.log.read_text().splitlines() if "nat:main" in line][1:]


def generation(relays):
    from neod.kernel.netfilter.nft.ruleset import NftRuleset

    with inside(relays.ns["relay1"]):
        asked = NftRuleset()
        try:
            return asked.generation()
        finally:
            asked.close()


def test_the_backend_can_be_changed_without_losing_a_connection(relays):
    relays.start("nftables")
    host = relays.hosts["relay1"]
    server = relays.listen(protocol=0)
    client = relays.connect(address("relay1"), protocol=0)
    there, _ = server.accept()
    for backend, gone in (("iptables", "inet neo"), ("nftables", "NEO-")):
        host.write_config(relays.relay_file(backend))
        assert host.ctl("reload").status == 0
        poll(lambda gone=gone: gone not in relays.sh("relay1", OURS), 10, 0.05, "the rules moved")
        host.wait()
        assert echo(client, there) == b"hello"
        relays.connect(address("relay1"), protocol=0)
        server.accept()[0].close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_a_thousand_forwards_one_can_be_changed(relays, backend):
    host = relays.hosts["relay1"]

    def file(last):
        entries = (
            f'[forwards.f{n}]\nports = [{10000 + n}]\nto = "198.51.{n // 250}.{n % 250 + 1}:80"\n' for n in range(999)
        )
        return "".join(entries) + f'[forwards.last]\nports = [443]\nto = "{last}"\n[nat]\nbackend = "{backend}"\n'

    host.write_config(file("198.51.100.9"))
    host.start_neod()
    host.wait(60)
    host.write_config(file(address("proxy")))
    begun = time.monotonic()
    assert host.ctl("reload").status == 0
    show = {"nftables": "nft list map inet neo tcp4", "iptables": "iptables-legacy -t nat -S NEO-PREROUTING"}[backend]
    poll(lambda: address("proxy") in relays.sh("relay1", show), 30, 0.02, "the changed one")
    print(f"{backend}: {time.monotonic() - begun:.2f} s")
    host.wait(60)
    proxy = relays.hosts["proxy"]
    proxy.write_config(relays.proxy_file(backend))
    proxy.start_neod()
    proxy.wait()
    server = relays.listen(protocol=0)
    client = relays.connect(address("relay1"), protocol=0)
    assert echo(client, server.accept()[0]) == b"hello"
