"""A reload says what goes with it, counted on the host as it is; and never that it is done before it is."""

import json
import re
import socket
from contextlib import ExitStack

import pytest
from tests.lab import Campus, netns
from tests.lab.netns import inside as within
from tests.lab.netns import ip, run

pytestmark = pytest.mark.kernel

INSIDE = """
[namespaces.{0}]
uplink = "ens3"
subnet = "10.254.0.0/30"
expose = ["tcp/443"]
[nat]
backend = "nftables"
"""


@pytest.fixture
def campus(laboratory):
    with Campus(3) as made:
        inner = f"{made.host.ns}-in"
        made.host.write_config(made.file(more=INSIDE.format(inner)))
        try:
            made.host.start_neod()
            made.host.wait()
            yield made
        finally:
            made.host.stop()
            netns.delete(inner)


def connect(stack, campus, ns, local, protocol=0):
    """Keep a connection from an address of the host to the LAN's side."""
    with within(campus.lan):
        listener = stack.enter_context(socket.create_server((str(campus.plan.gateway), 0)))
    with within(ns):
        client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol))
    client.bind((local, 0))
    client.settimeout(10)
    client.connect((str(campus.plan.gateway), listener.getsockname()[1]))
    stack.enter_context(listener.accept()[0])


def shown(ns, *addresses):
    """Return how many connections ``ss`` shows there by *addresses*."""
    lines = run("ip", "netns", "exec", ns, "ss", "-Htn").stdout.splitlines()
    return sum(line.split()[3].rpartition(":")[0] in addresses for line in lines)


def leased(campus):
    rows = campus.host.ctl("leases", "--json").json["leases"]
    return {row["link"]: row["address"].partition("/")[0] for row in rows}


def test_what_goes_is_what_ss_counts(campus):
    inner, addresses = f"{campus.host.ns}-in", leased(campus)
    with ExitStack() as stack:
        for name in ("neo1", "neo1", "neo2", "neo3"):
            connect(stack, campus, campus.host.ns, addresses[name])
        with within(inner):
            listener = stack.enter_context(socket.create_server(("10.254.0.2", 443)))
            stack.enter_context(socket.create_connection(("10.254.0.2", 443), source_address=("10.254.0.2", 0)))
        stack.enter_context(listener.accept()[0])
        less = campus.host.directory / "less.toml"
        less.write_text(campus.file(more="").replace("count = 3", 'ids = "2-3"'))
        impact = campus.host.ctl("plan", "--json", str(less)).json["impact"]
        gone = shown(campus.host.ns, addresses["neo1"]) + shown(inner, "10.254.0.2")
        assert gone == impact["connections"] == 4
        assert (impact["leases"], impact["paths"]) == (["neo1"], ["neo1"])
        plan = campus.host.ctl("plan", "--json", str(less)).json
        assert impact["objects"] == sum(change["op"] == "delete" for change in plan["changes"])
        campus.host.write_config(less.read_text())
        said = campus.host.ctl("reload").out  # no terminal: it does not ask
        assert f"{impact['objects']} objects go, 1 lease, 1 path, 4 open connections by them" in said
        assert "is in force" in said
        campus.host.wait()
        assert set(leased(campus)) == {"neo2", "neo3"}


def test_nothing_goes_with_what_only_comes(campus):
    campus.host.write_config(campus.file(4, more=INSIDE.format(f"{campus.host.ns}-in")))
    said = campus.host.ctl("reload").out
    assert "Impact" not in said
    impact = campus.host.ctl("plan", "--json").json["impact"]
    assert (impact["objects"], impact["connections"], impact["leases"]) == (0, 0, [])


def test_the_callers_own_connection_is_named_where_its_path_goes_or_changes(campus):
    addresses = leased(campus)
    less = campus.host.directory / "less.toml"
    less.write_text(campus.file().replace("count = 3", 'ids = "2-3"'))
    moved = campus.host.directory / "moved.toml"
    moved.write_text(
        campus.file(more=INSIDE.format(f"{campus.host.ns}-in")).replace("count = 3", "count = 3\ntable_base = 40")
    )

    def told(file, local):
        """Return what is said to who comes in by *local*."""
        env = {"SSH_CONNECTION": f"{campus.plan.gateway!s} 50000 {local} 22"}
        return campus.host.ctl("plan", "--json", str(file), env=env).json["impact"]["caller"]

    assert re.search(r"by neo1 \(.*\), which goes", told(less, addresses["neo1"]))
    assert told(less, addresses["neo2"]) == ""
    assert re.search(r"by neo2 \(.*\), which changes", told(moved, addresses["neo2"]))


@pytest.mark.parametrize("by", ["verb", "SIGHUP"])
def test_status_right_after_a_reload_is_not_of_the_state_before(campus, by):
    host = campus.host
    for count in (4, 3, 4, 3):
        host.write_config(campus.file(count, more=INSIDE.format(f"{host.ns}-in")))
        if by == "SIGHUP":
            host.reload()
        else:
            assert host.ctl("reload").status == 0
        status = host.ctl("status", "--json").json
        links = ip(host.ns, "-br", "link")
        there = [{row["name"] for row in status["paths"]}, {name for name in campus.names(5) if f"{name}@" in links}]
        assert not status["converged"] or there == [set(campus.names(count))] * 2
        assert host.ctl("wait", "--timeout", "20s").status == 0
        assert {row["name"] for row in host.ctl("status", "--json").json["paths"]} == set(campus.names(count))


def test_who_comes_right_after_a_signal_comes_after_the_file(campus):
    host = campus.host
    more = INSIDE.format(f"{host.ns}-in")

    def after(count, *command):
        host.write_config(campus.file(count, more=more))
        host.reload()
        return host.ctl(*command)

    assert after(4, "why", "neo4").status == 0
    assert host.ctl("wait", "--timeout", "20s").status == 0
    assert "link:neo4" not in after(3, "show", "desired").out
    host.wait()
    host.ctl("pause")
    assert "+ link:neo4" in after(4, "diff").out
    host.ctl("resume")
    host.wait()
    log = host.log.read_text()
    assert after(3, "apply").status == 0
    assert "neo4@" not in ip(host.ns, "-br", "link")
    said = host.log.read_text().removeprefix(log)
    assert re.search(r"reload .*objects go, 1 lease, 1 path, no open connection by them", said)
    down = after(4, "down")
    assert "nothing of neo's is left" in down.out
    assert host.ctl("status", "--json").json["mode"] == "down"
    assert "neo" not in ip(host.ns, "-br", "link", "show", "type", "macvlan")


def test_what_a_file_changes_was_changed_by_nobody_else(campus):
    host = campus.host
    for count in (2, 3):
        host.write_config(campus.file(count, more=INSIDE.format(f"{host.ns}-in")))
        assert host.ctl("reload").status == 0
        host.wait()
    told = [json.loads(line) for line in host.ctl("events", "--json").out.splitlines()]
    assert [one for one in told if one["by"] and not one["drift"]] == []


def test_every_reader_agrees_after_down_and_resume(campus):
    host = campus.host
    assert host.ctl("down").status == 0
    assert host.ctl("status", "--json").json["converged"] is False
    assert "neod is down" in host.ctl("doctor").out
    host.ctl("resume")
    assert "neod is down" not in host.ctl("doctor").out
    status = host.ctl("status", "--json").json
    assert status["converged"] is False or "neo3@" in ip(host.ns, "-br", "link")
    host.wait()
