"""From nothing to converged, and what the client says about it."""

import re
import subprocess

import pytest
from tests.lab import MARK, Campus
from tests.lab.host import program
from tests.lab.netns import argv_in
from tests.lab.taps import Writes

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("server", ["dnsmasq", "kea"])
def test_cold_start_brings_every_macvlan_to_life(new_campus, server):
    campus = new_campus(8, server)
    campus.host.write_config(campus.file())
    campus.host.start_neod()
    campus.wait_converged()
    campus.host.ready()
    campus.host.wait()


def test_sixty_four_macvlans_get_sixty_four_leases(new_campus):
    campus = new_campus(64)
    campus.host.write_config(campus.file())
    campus.host.start_neod()
    campus.wait_converged()


@pytest.fixture(scope="module")
def quiet_host(laboratory):
    """A converged campus that tests only look at."""
    with Campus(8) as campus:
        campus.host.write_config(campus.file())
        campus.host.start_neod()
        campus.wait_converged()
        campus.host.wait()
        yield campus


def test_addresses_answer_with_their_own_mac(quiet_host):
    """Each address is on its own wire identity: the sysctls of macvlan and parent together do it."""
    seen = quiet_host.host.look()
    lan = quiet_host.lan
    for name in quiet_host.names():
        address, mac = seen.address(name), seen.link(name).mac
        subprocess.run(argv_in(lan, "ping", "-c1", "-W1", address), stdout=subprocess.DEVNULL, check=False)
        neighbours = subprocess.run(["ip", "-n", lan, "neigh", "show", address], capture_output=True, text=True).stdout
        assert mac in neighbours, f"{name} {address}: {neighbours}"


@pytest.mark.parametrize(("name", "value"), [("arp_ignore", "1"), ("arp_announce", "2")])
def test_arp_sysctls_are_set_on_macvlans_and_not_on_the_nic(quiet_host, name, value):
    links = quiet_host.names()
    found = {link: quiet_host.host.sysctl(f"ipv4/conf/{link}/{name}") for link in links}
    assert found == dict.fromkeys(links, value)
    assert quiet_host.host.sysctl(f"ipv4/conf/{quiet_host.host.nic}/{name}") == "0"


def test_no_path_is_filtered_by_strict_reverse_path(quiet_host):
    everywhere = int(quiet_host.host.sysctl("ipv4/conf/all/rp_filter"))
    for link in quiet_host.names():
        assert max(everywhere, int(quiet_host.host.sysctl(f"ipv4/conf/{link}/rp_filter"))) != 1, link


def test_addresses_carry_their_lease_time_in_the_kernel(quiet_host):
    lifetimes = [a.valid_s for a in quiet_host.host.look().owned().addresses]
    assert len(lifetimes) == 8
    assert all(0 < left <= quiet_host.plan.lease_s for left in lifetimes)


def test_status_tells_what_the_kernel_holds(quiet_host):
    answer = quiet_host.host.ctl("status", "--json")
    assert answer.status == 0, answer
    assert answer.json["converged"] is True
    seen = quiet_host.host.look()
    told = {row["name"]: (row["address"], row["table"]) for row in answer.json["paths"]}
    prefix = quiet_host.plan.network.prefixlen
    assert told == {f"neo{i}": (f"{seen.address(f'neo{i}')}/{prefix}", i) for i in range(1, 9)}


def test_leases_tell_what_the_server_gave(quiet_host):
    answer = quiet_host.host.ctl("leases", "--json")
    assert answer.status == 0, answer
    seen = quiet_host.host.look()
    rows = {row["link"]: row for row in answer.json["leases"]}
    assert set(rows) == set(quiet_host.names())
    for name, row in rows.items():
        assert row["state"] == "bound"
        assert row["address"].partition("/")[0] == seen.address(name)
        assert row["gateway"] == row["server"] == str(quiet_host.plan.gateway)


@pytest.mark.parametrize("command", [("status",), ("diff",), ("plan",), ("leases",), ("events",), ("show", "desired")])
def test_tables_fit_a_narrow_terminal_and_have_no_colour_in_a_pipe(quiet_host, command):
    answer = quiet_host.host.ctl(*command)
    assert answer.status == 0, answer
    assert "\x1b" not in answer.out
    if command[0] not in {"show", "events"}:
        usual = answer.out.replace(str(quiet_host.host.config), "/etc/neo/neo.toml")
        assert max(map(len, usual.splitlines() or [""])) <= 80, usual


def test_why_names_the_line_of_the_file_and_the_lease(quiet_host):
    table = quiet_host.host.ctl("why", "neo3", "--json")
    assert table.status == 0, table
    assert table.json["file"] == str(quiet_host.host.config)
    assert table.json["table"] == "macvlans.neo"
    line = quiet_host.host.config.read_text().splitlines()[table.json["line"] - 1]
    assert table.json["text"].strip() == line.strip()


def test_no_such_object_exits_ten(quiet_host):
    assert quiet_host.host.ctl("why", "neo99").status == 10
    assert quiet_host.host.ctl("status", "neo99").status == 10


def test_second_pass_writes_nothing(quiet_host):
    with Writes(quiet_host.host.ns) as writes:
        answer = quiet_host.host.ctl("apply", "--json")
        assert answer.status == 0, answer
        assert answer.json["converged"] is True
        assert answer.json["outcomes"] == []
        assert writes.count() == {}


def test_second_pass_sends_no_request_that_writes(quiet_host, tmp_path):
    """Asked of the system calls: the kernel does not announce a write that changes nothing."""
    trace = tmp_path / "trace"
    pid = str(quiet_host.host.neod.pid)
    what = "trace=sendto,sendmsg,openat,unlink,rename"
    strace = argv_in(quiet_host.host.ns, "strace", "-f", "-v", "-e", what, "-o", str(trace), "-p", pid)
    tracer = subprocess.Popen(strace, stderr=subprocess.PIPE, text=True)
    try:
        assert "attached" in tracer.stderr.readline()
        assert quiet_host.host.ctl("apply").status == 0
    finally:
        tracer.terminate()
        tracer.wait(10)
    text = trace.read_text()
    assert "RTM_GET" in text, "the full pass was not seen"
    assert not re.findall(r"RTM_(?:NEW|DEL|SET)\w+", "\n".join(x for x in text.splitlines() if "send" in x))
    assert not re.findall(r"openat\([^)]*/proc/sys[^)]*O_(?:WRONLY|RDWR)", text)


def test_second_neod_on_the_same_runtime_directory_refuses(quiet_host):
    host = quiet_host.host
    argv = [*program("neod"), "--config", host.config, "--runtime-dir", host.runtime, "--state-dir", host.state]
    second = subprocess.run(argv_in(host.ns, *map(str, argv)), capture_output=True, text=True, timeout=20)
    assert second.returncode not in (0, -9)
    assert "Traceback" not in second.stderr
    assert host.ctl("status").status == 0
    assert host.neod.running


def test_everything_made_carries_the_mark(quiet_host):
    owned = quiet_host.host.look().owned()
    assert (len(owned.links), len(owned.addresses), len(owned.routes), len(owned.rules)) == (8, 8, 16, 8), MARK


def test_ready_comes_after_the_first_complete_pass(new_campus):
    """systemd orders services after neod: they must find links, whatever the DHCP server does."""
    campus = new_campus(4, None)
    campus.host.write_config(campus.file())
    campus.host.start_neod()
    campus.host.ready()
    assert {link.name for link in campus.host.look().owned().links} == set(campus.names())
    status = campus.host.ctl("status", "--json")
    assert status.status == 1
    assert status.json["converged"] is False


def test_wait_times_out_with_three(new_campus):
    campus = new_campus(2, None)
    campus.host.write_config(campus.file())
    campus.host.start_neod()
    campus.host.ready()
    assert campus.host.ctl("wait", "--timeout", "300ms").status == 3


def test_client_without_daemon_exits_eight(new_campus):
    campus = new_campus(1, None)
    assert campus.host.ctl("status").status == 8


def test_systemd_is_told_in_utf8(quiet_host):
    """systemd drops a STATUS= that is not."""
    statuses = [line for line in quiet_host.host.heard() if line.startswith("STATUS=")]
    assert statuses
    assert not any("\ufffd" in line for line in statuses), statuses
