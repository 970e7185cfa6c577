"""The life of ``neod.service`` under the systemd of Debian."""

import json

from tests.lab import look, poll
from tests.lab.debian.campus import BootedCampus
from tests.lab.probe import Echo, Probe

MANY = 100


def test_ready_is_said_after_the_first_pass(campus: BootedCampus) -> None:
    campus.configure(MANY)
    campus.host.ok("systemctl enable --now --quiet neod")
    there = {link.name for link in look(campus.host.ns).owned().links if link.up}
    assert there == {f"neo{number}" for number in range(1, MANY + 1)}
    assert campus.show("ActiveState") == "active"
    campus.converged(MANY)
    poll(lambda: "converged" in campus.show("StatusText"), 20, why="the line that systemctl status shows")


def test_its_sandbox_leaves_it_nothing_to_complain_of(running: BootedCampus) -> None:
    said = running.host.ok("neodctl status").splitlines()
    assert said[0].startswith("● neod converged")
    assert said[1] == "", "troubles of the daemon stand below its first line"


def test_reload_by_systemctl_reads_the_file_again(running: BootedCampus) -> None:
    pid = running.pid()
    running.configure(6)
    running.host.ok("systemctl reload neod")
    running.converged(6)
    running.configure(2)
    running.host.ok("systemctl reload neod")
    running.converged(2)
    assert (running.pid(), running.show("ActiveState")) == (pid, "active")


def test_a_bad_file_at_reload_changes_nothing_and_is_said(running: BootedCampus) -> None:
    pid, before = running.pid(), running.converged()
    running.host.write("/etc/neo/neo.toml", "[macvlans.neo]\ncuont = 4\n")
    running.host.run("systemctl reload neod")
    poll(lambda: "cuont" in running.host.run("neodctl status").out, 10, why="status says what is wrong")
    assert (running.pid(), running.show("ActiveState")) == (pid, "active")
    assert before.difference(look(running.host.ns)) == []


def test_an_invalid_file_at_the_first_start_fails_once_and_says_why(campus: BootedCampus) -> None:
    campus.host.write("/etc/neo/neo.toml", "[macvlans.neo]\ncuont = 4\n")
    assert campus.host.run("systemctl start neod").status != 0
    assert (campus.show("ExecMainStatus"), campus.show("NRestarts")) == ("78", "0")
    assert "cuont" in campus.journal()
    campus.configure()
    campus.host.ok("systemctl start neod")
    campus.converged()


def test_killed_twenty_times_it_comes_back_and_loses_nothing(running: BootedCampus) -> None:
    before, discovers = running.converged(), running.count("DHCPDISCOVER")
    echo = Echo(running.lan, str(running.plan.gateway))
    try:
        with Probe(running.host.ns, running.addresses(), str(running.plan.gateway)) as probe:
            for times in range(1, 21):
                running.host.ok("kill -9 $1", str(running.pid()))
                poll(lambda n=times: running.show("NRestarts") == str(n), 60, why="systemd started it again")
                poll(lambda: running.show("SubState") == "running", 60, why="it is ready")
            assert probe.finish() == []
    finally:
        echo.stop()
    running.host.ok("neodctl wait --timeout 20s")
    assert before.difference(running.converged()) == []
    assert running.count("DHCPDISCOVER") == discovers


def test_the_watchdog_ends_a_daemon_that_hangs(running: BootedCampus) -> None:
    running.host.write("/etc/systemd/system/neod.service.d/fast.conf", "[Service]\nWatchdogSec=2\n")
    running.host.ok("systemctl daemon-reload && systemctl restart neod")
    before, pid = running.converged(), running.pid()
    running.host.ok("kill -STOP $1", str(pid))
    poll(lambda: running.pid() not in (0, pid), 30, why="another process serves")
    poll(lambda: running.show("SubState") == "running", 20, why="it is ready")
    assert "watchdog" in running.journal().lower()
    assert before.difference(running.converged()) == []


def test_no_probe_and_no_lease_is_lost_over_a_restart(running: BootedCampus) -> None:
    before, discovers = running.converged(), running.count("DHCPDISCOVER")
    echo = Echo(running.lan, str(running.plan.gateway))
    try:
        with Probe(running.host.ns, running.addresses(), str(running.plan.gateway)) as probe:
            for _ in range(2):
                running.host.ok("systemctl stop neod")
                probe.goes_on()
                running.host.ok("systemctl start neod && neodctl wait --timeout 20s")
                running.host.ok("systemctl restart neod && neodctl wait --timeout 20s")
                probe.goes_on()
            assert probe.finish() == []
    finally:
        echo.stop()
    assert before.difference(look(running.host.ns)) == []
    assert running.count("DHCPDISCOVER") == discovers


def test_stop_keeps_the_network_and_down_removes_it(running: BootedCampus) -> None:
    before = running.converged()
    running.host.ok("systemctl stop neod")
    assert before.difference(look(running.host.ns)) == []
    running.host.ok("systemctl start neod && neodctl wait --timeout 20s && neodctl down")
    poll(lambda: not look(running.host.ns).owned().links, 10, why="nothing is left")


def test_it_repairs_inside_its_sandbox(running: BootedCampus) -> None:
    before = running.addresses()
    running.host.ok("ip link del neo1 && ip route flush table 2 && ip rule del table 3 && ip address flush dev neo4")
    running.converged()
    assert running.addresses() == before


def test_the_journal_finds_what_happened_to_a_path(running: BootedCampus) -> None:
    running.host.ok("ip rule del priority 11001")
    found = "journalctl --no-pager -q -o cat NEO_PATH=neo1 NEO_EVENT=repaired PRIORITY=6 -u neod"
    poll(lambda: "rule:11001" in running.host.ok(found), 10, why="the repair is in the journal")
    assert "<6>" not in running.host.ok("journalctl --no-pager -q -o cat INTERFACE=neo1")
    assert running.host.ok("journalctl --no-pager -q -t neod -n 1")


def test_a_reboot_asks_for_the_same_leases(running: BootedCampus) -> None:
    before, discovers = running.addresses(), running.count("DHCPDISCOVER")
    running.host.reboot()
    running.plug()
    running.converged()
    assert running.addresses() == before
    assert running.count("DHCPDISCOVER") == discovers


def test_members_of_the_group_direct_it_and_strangers_do_not(running: BootedCampus) -> None:
    member = "setpriv --reuid nobody --regid nogroup --groups neo --inh-caps=-all"
    stranger = "setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all"
    assert json.loads(running.host.ok(f"{member} neodctl status --json"))
    running.host.ok(f"{member} neodctl apply")
    assert running.host.run(f"{stranger} neodctl apply").status == 77
