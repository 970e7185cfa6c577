"""What waits for the network at boot, and what the unit lets the host see."""

import re
from collections.abc import Callable

import pytest
from tests.lab import poll
from tests.lab.debian.campus import BootedCampus
from tests.lab.debian.trees import Debian
from tests.lab.netns import argv_in, run

WITNESS = """[Unit]
Wants=network-online.target
After=network-online.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'ip -brief -4 address show >/run/witness.new; mv /run/witness.new /run/witness'
[Install]
WantedBy=multi-user.target
"""
MOST_EXPOSED = {"neod.service": 4.8, "neo-race.service": 2.0}
"""Of 10, as systemd-analyze security counts. neod's is bound by what it is for: root, CAP_NET_ADMIN, CAP_SYS_ADMIN, and
a view of the host's mounts."""


def test_what_needs_the_network_starts_after_the_first_lease(new_campus: Callable[[], BootedCampus]) -> None:
    campus = new_campus()
    campus.host.start()
    campus.host.wait_up()
    campus.configure()
    campus.host.write("/etc/systemd/system/witness.service", WITNESS)
    campus.host.ok("systemctl daemon-reload && systemctl enable --quiet neod neo-wait-online witness")
    campus.host.reboot()
    poll(lambda: campus.show("ActiveState") == "active", 20, why="neod is up, without its NIC")
    campus.plug()
    poll(lambda: campus.show("SubState", "neo-wait-online") == "start", 10, why="it waits")
    assert campus.show("ActiveState", "network-online.target") == "inactive"
    assert campus.host.run("test -e /run/witness").status != 0
    campus.serve()
    poll(lambda: campus.host.run("test -e /run/witness").status == 0, 30, why="the witness has run")
    assert re.search(r"^neo\d@\S+ +UP +10\.8\.", campus.host.ok("cat /run/witness"), re.M)
    campus.host.wait_up()


def test_wait_online_gives_up_and_the_boot_goes_on(campus: BootedCampus) -> None:
    campus.configure(1, '[macvlans.neo.override.neo1]\nparent = "absent0"\n')
    drop_in = "[Service]\nExecStart=\nExecStart=/usr/local/bin/neodctl wait --any --timeout 1s\n"
    campus.host.write("/etc/systemd/system/neo-wait-online.service.d/short.conf", drop_in)
    campus.host.write("/etc/systemd/system/witness.service", WITNESS)
    campus.host.ok("systemctl daemon-reload && systemctl enable --quiet --now neod neo-wait-online; true")
    campus.host.ok("systemctl start witness && test -e /run/witness")
    assert campus.show("ExecMainStatus", "neo-wait-online") == "3"


def test_a_namespace_made_in_the_unit_is_seen_on_the_host_and_by_other_units(running: BootedCampus) -> None:
    """One directive that makes a mount namespace, PrivateTmp= say, and the host would see an empty file."""
    drop_in = "[Service]\nExecStartPre=/bin/ip netns add made-inside\n"
    running.host.write("/etc/systemd/system/neod.service.d/netns.conf", drop_in)
    running.host.ok("systemctl daemon-reload && systemctl restart neod")
    assert running.host.ok("stat -f -c %T /run/netns/made-inside").strip() == "nsfs"
    running.host.ok("ip -n made-inside link set lo up")
    seen = running.host.ok(
        "systemd-run --quiet --pipe --wait -p NetworkNamespacePath=/run/netns/made-inside ip -brief link"
    )
    assert "lo" in seen and "ens3" not in seen


PROXY = """[namespaces.proxy]
uplink = "ens3"
subnet = "10.254.0.0/30"
expose = ["tcp/443"]
relay_addresses = ["203.0.113.11", "203.0.113.12"]
relay_link = "bridge"
relay_snat = "10.254.1.0/24"
mptcp = ["signal"]
"""
INSIDE = "systemd-run --quiet --pipe --wait -p NetworkNamespacePath=/run/netns/proxy"


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_a_proxy_server_is_made_inside_the_sandbox_and_used_by_another_unit(campus: BootedCampus, backend: str) -> None:
    campus.host.write("/etc/neo/neo.toml", f'{PROXY}[nat]\nbackend = "{backend}"\n')
    campus.host.ok("systemctl start neod && neodctl wait --timeout 30s")
    assert campus.host.ok("stat -f -c %T /run/netns/proxy").strip() == "nsfs"
    said = campus.host.ok(f"{INSIDE} ip -brief -4 address show")
    assert all(address in said for address in ("10.254.0.2/30", "203.0.113.11", "203.0.113.12"))
    campus.host.ok("systemctl restart neod && neodctl wait --timeout 30s")
    assert campus.host.ok(f"{INSIDE} ip -brief -4 address show") == said
    rules = "nft list table inet neo" if backend == "nftables" else "iptables-legacy -t nat -S"
    assert "443" in campus.host.ok(rules)


PROGRAM = """[Service]
Type=exec
ExecStart=/usr/bin/python3 -m http.server 443
[Install]
WantedBy=multi-user.target
"""
DROP_IN = "/usr/local/share/doc/neo/examples/proxy-in-namespace.conf"


def test_at_boot_a_proxy_program_starts_when_its_namespace_is_there(campus: BootedCampus) -> None:
    campus.host.write("/etc/neo/neo.toml", PROXY)
    campus.host.write("/etc/netns/proxy/resolv.conf", "nameserver 127.0.0.1\n")
    campus.host.write("/etc/systemd/system/proxy.service", PROGRAM)
    campus.host.ok("mkdir /etc/systemd/system/proxy.service.d && cp $1 /etc/systemd/system/proxy.service.d/", DROP_IN)
    campus.host.ok("systemctl daemon-reload && systemctl enable --quiet neod neo-wait-online proxy")
    campus.host.reboot()
    campus.plug()
    poll(lambda: campus.show("ActiveState", "proxy") == "active", 60, why="the program runs")
    ready = int(campus.show("ActiveEnterTimestampMonotonic"))
    assert 0 < ready < int(campus.show("ExecMainStartTimestampMonotonic", "proxy"))
    request = r"printf 'GET / HTTP/1.0\r\n\r\n' >&3; read -r -t 10 -u 3 said; echo $said"
    fetch = f"exec 3<>/dev/tcp/{campus.plan.nic}/443; {request}"
    poll(lambda: "200 OK" in run(*argv_in(campus.lan, "bash", "-c", fetch), check=False).stdout, 60, why="an answer")
    assert campus.show("NRestarts", "proxy") == "0", "it was not started before"


FAR = """
[races.far]
listen = "0.0.0.0:443"
listen_mptcp = true
upstreams = ["127.0.0.1:10443"]
sources = "none"
"""
LOW_PORT = """[Service]
PrivateUsers=no
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
"""


def test_a_race_in_front_of_a_proxy_program_listens_with_mptcp_inside(campus: BootedCampus) -> None:
    """The page on proxy servers says how; without a resolv.conf of the namespace, too."""
    campus.host.write("/etc/neo/neo.toml", PROXY + FAR)
    campus.host.ok(
        "mkdir /etc/systemd/system/neo-race.service.d && cp $1 /etc/systemd/system/neo-race.service.d/", DROP_IN
    )
    campus.host.write("/etc/systemd/system/neo-race.service.d/port.conf", LOW_PORT)
    campus.host.ok("systemctl daemon-reload && systemctl enable --quiet --now neod neo-wait-online neo-race")
    poll(lambda: ":443" in campus.host.run(f"{INSIDE} ss -Htln").out, 20, why="it listens inside")
    assert campus.host.run("ss -Htln sport = :443").out == "", "and not outside"
    if campus.host.run("sysctl -n net.mptcp.enabled").out.strip() == "1":
        assert "mptcp" in campus.host.ok(f"{INSIDE} ss -HMtln sport = :443")


SILENT = """[Service]
Type=exec
User=nobody
ExecStart=/usr/bin/sleep infinity
NetworkNamespacePath=/run/netns/proxy
"""


def test_a_program_of_another_user_keeps_its_namespace_and_a_new_one_restarts_its_unit(campus: BootedCampus) -> None:
    host = campus.host
    host.write("/etc/neo/neo.toml", f'{PROXY}on_recreate = ["silent.service"]\n')
    host.write("/etc/systemd/system/silent.service", SILENT)
    host.ok("systemctl daemon-reload && systemctl start neod && neodctl wait --timeout 30s && systemctl start silent")
    number, pid = "stat -Lc %i /run/netns/proxy", campus.show("MainPID", "silent")
    before = host.ok(number)
    host.ok("ip netns del proxy")
    poll(lambda: host.run(number).out == before, 10, why="the name is given back")
    host.ok("systemctl stop neod && ip netns del proxy && systemctl start neod && neodctl wait --timeout 30s")
    assert host.ok(number) == before, "found by its process"
    assert campus.show("MainPID", "silent") == pid
    host.ok("mkdir -p /run/systemd/system/neod.service.d")
    blind = "[Service]\nCapabilityBoundingSet=~CAP_SYS_PTRACE\n"
    host.write("/run/systemd/system/neod.service.d/blind.conf", blind)
    host.ok("systemctl daemon-reload && systemctl restart neod && neodctl wait --timeout 30s && ip netns del proxy")
    poll(lambda: campus.show("MainPID", "silent") not in (pid, "0"), 20, why="the unit is restarted")
    assert host.ok(f"stat -Lc %i /proc/{campus.show('MainPID', 'silent')}/ns/net") == host.ok(number) != before
    assert "units restarted" in host.ok("neodctl events")


def test_exposure_is_no_more_than_it_was(campus: BootedCampus, release: Debian, report: Callable[[str], None]) -> None:
    for unit, most in MOST_EXPOSED.items():
        said = campus.host.ok(f"systemd-analyze security --no-pager {unit} | tail -n 1")
        report(f"{release.suite}: {said.strip()}")
        found = re.search(r"(\d+\.\d)", said)
        assert found and float(found[1]) <= most, campus.host.ok(f"systemd-analyze security --no-pager {unit}")


def test_it_may_not_reach_into_other_processes_whose_namespaces_it_sees(campus: BootedCampus) -> None:
    allowed = set(campus.show("SystemCallFilter").split())
    assert "setns" in allowed
    assert not allowed & {"ptrace", "pidfd_getfd", "process_vm_readv", "process_vm_writev", "kcmp"}


def test_the_units_have_no_mistakes(campus: BootedCampus) -> None:
    units = "/usr/local/lib/systemd/system/neo*.service"
    answer = campus.host.run(f"systemd-analyze verify --man=no {units}")
    assert (answer.status, answer.out + answer.err) == (0, "")
