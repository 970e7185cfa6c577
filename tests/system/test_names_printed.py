"""A law of ``why``: whatever a command prints of an object can be asked for, and the answer is about that object."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.lab import netns

from neod.control.client import ControlClient
from neod.control.errors import NoSuchObject

pytestmark = pytest.mark.kernel
FILE = """
[uplinks.ens3]
ipv4 = "follow"
table = 33
[macvlans.neo]
parent = "ens3"
count = 3
[macvlans.b]
parent = "ens3"
ids = "1"
ipv4 = ["10.8.0.201/16"]
gateway = "10.8.0.1"
table_base = 100
[links.br9]
kind = "bridge"
[forwards.web]
protocol = "tcp"
ports = [8443, "9000-9010"]
to = "198.51.100.10:443"
[namespaces.NETNS]
uplink = "ens3"
subnet = "10.254.0.0/30"
expose = ["tcp/443"]
relay_addresses = ["203.0.113.11"]
relay_link = "bridge"
relay_snat = "10.254.1.0/24"
mptcp = ["signal"]
[sysctl]
"net.ipv4.tcp_fin_timeout" = "31"
[races.px]
listen = "127.0.0.1:4430"
upstreams = ["198.51.100.10:443"]
[nat]
backend = "nftables"
"""
COMMANDS = ("status", "diff", "show desired", "show observed", "leases", "events")


@pytest.fixture
def host(new_campus: Any) -> Iterator[Any]:
    campus, inner = new_campus(3, "scripted"), netns.unique("px")
    campus.host.write_config(FILE.replace("NETNS", inner))
    try:
        campus.host.start_neod()
        campus.host.ready()
        campus.host.ctl("wait", "--timeout", "15s")
        yield campus.host
    finally:
        campus.host.stop()
        netns.delete(inner)


def printed(host: Any) -> set[str]:
    """Return what the commands print of objects: names, and all values that are no plain words."""
    found: set[str] = set()
    for command in COMMANDS:
        answer = host.ctl(*command.split(), "--json").out
        replies = [json.loads(line) for line in answer.splitlines()] if command == "events" else [json.loads(answer)]
        for reply in replies:
            found |= set(_names(reply))
    return found


def _names(value: Any, field: str = "") -> Iterator[str]:
    """Yield names from the fields of a reply that hold such."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _names(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner, field)
    elif isinstance(value, str) and value not in ("", "routed") and field in NAMED:
        yield value
    elif isinstance(value, int) and field in NUMBERED:
        yield str(value)


NAMED = {"object", "name", "link", "address", "gateway", "server", "mac", "parent", "to", "ports", "uplink", "subnet",
         "expose", "relay_addresses", "source", "origin", "waits_for"}  # fmt: skip
OWN_NAME = r"(netns|link|arp|address|route|rule|sysctl|endpoint|limits|nat):[^:]"
NUMBERED = {"table", "rule_priority", "mptcp_id"}


def test_every_printed_name_means_something(host):
    names = printed(host)
    assert len(names) > 100
    with ControlClient(str(host.runtime)) as client:
        answers = {name: _asked(client, name) for name in sorted(names)}
    assert [name for name, about in answers.items() if not about] == []
    objects = {name for name, about in answers.items() if re.match(OWN_NAME, name)}
    assert {name: answers[name] for name in objects if answers[name] != name} == {}


def _asked(client: ControlClient, name: str) -> str:
    """Return what the answer is about; empty where there is none."""
    try:
        return str(client.call("Why", 10, object=name)["object"])
    except NoSuchObject:
        return ""


def test_numbers_and_addresses_of_a_path_are_answered_with_what_has_them(host):
    rows = host.ctl("status", "--json").json["paths"]
    with ControlClient(str(host.runtime)) as client:
        for row in rows:
            for name, about in (
                (row["name"], f"link:{row['name']}"),
                (row["address"], f"address:{row['name']}/{row['address']}"),
                (row["address"].partition("/")[0], f"address:{row['name']}/{row['address']}"),
                (str(row["rule_priority"]), f"rule:{row['rule_priority']}/from {row['address'].partition('/')[0]} "),
                (str(row["table"]), f"route:{row['table']}/"),
            ):
                assert client.call("Why", 10, object=name)["object"].startswith(about), (name, about)


def test_what_is_told_together_or_by_others_is_taken_as_it_is_shown(host):
    address = next(row["address"] for row in host.ctl("status", "--json").json["paths"] if row["name"] == "b1")
    with ControlClient(str(host.runtime)) as client:
        for name, about in (
            ("neo1 … neo3", "link:neo1"),  # as wait folds equal reasons
            ("neo2, b1", "link:neo2"),
            (f"::ffff:{address.partition('/')[0]}", f"address:b1/{address}"),  # as ss shows it
        ):
            assert _asked(client, name) == about, name
        for name in (":", ",", "…"):
            assert _asked(client, name) == ""
