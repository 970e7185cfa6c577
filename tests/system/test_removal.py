"""What a removal leaves in the kernel can be taken away without neo, and sysctls get their old values back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.lab.netns import argv_in, delete, run

pytestmark = pytest.mark.kernel

LEAVE = Path(__file__).resolve().parents[2] / "tools" / "leave.sh"
EVERY_ROLE = """
[uplinks.ens3]
table = 33

[sysctl]
"net.ipv4.conf.ens3.arp_announce" = 1

[nat]
backend = "{backend}"

[forwards.web]
ports = [8443]
to = "198.51.100.10:443"

[namespaces."{netns}"]
uplink = "ens3"
subnet = "10.254.0.0/30"
expose = ["tcp/443"]

[mptcp]
subflows = 6
"""


def leave(host) -> str:
    env = {**os.environ, "NEO_STATE": str(host.state), "NEO_LEFT": str(host.directory / "left")}
    argv = argv_in(host.ns, "sh", str(LEAVE), sys.executable)
    return subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout


def take_away(host) -> None:
    run(*argv_in(host.ns, "sh", str(host.directory / "left")))


def filters(ns: str) -> str:
    """Return what neo has in either backend."""
    shown = [
        run(*argv_in(ns, *words.split()), check=False).stdout for words in ("nft list tables", "iptables-legacy-save")
    ]
    return "\n".join(line for text in shown for line in text.splitlines() if "neo" in line.lower())


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_script_of_a_removal_takes_all_away_and_puts_sysctls_back(new_campus, backend):
    campus = new_campus(2, quiet=True)
    host, inner = campus.host, f"{campus.host.ns}-in"
    settings = ("ipv4/conf/ens3/arp_announce", "ipv4/ip_forward", "ipv4/conf/ens3/forwarding")
    before, foreign = [host.sysctl(name) for name in settings], host.look().foreign()
    limits = run(*argv_in(host.ns, "ip", "mptcp", "limits")).stdout
    host.write_config(campus.file(more=EVERY_ROLE.format(backend=backend, netns=inner)))
    host.start_neod()
    try:
        host.wait()
        assert host.stop() == 0
        assert filters(host.ns)
        told = leave(host)
        assert "3 links" in told
        assert "sh " in told
        for path in host.state.iterdir():
            path.unlink()
        saved = (host.directory / "left").read_text()
        take_away(host)
        left = host.look()
        assert not any((left.owned().links, left.owned().addresses, left.owned().routes, left.owned().rules))
        assert foreign.difference(left.foreign()) == []
        assert [host.sysctl(name) for name in settings] == before, saved
        assert run(*argv_in(host.ns, "ip", "mptcp", "limits")).stdout == limits
        assert filters(host.ns) == ""
        assert not Path("/run/netns", inner).exists()
        assert leave(host) == ""
    finally:
        delete(inner)


def test_nothing_is_said_and_written_where_nothing_is_left(new_campus):
    campus = new_campus(2, quiet=True)
    campus.host.write_config(campus.file())
    campus.host.start_neod()
    campus.host.wait()
    assert campus.host.ctl("down").status == 0
    assert campus.host.stop() == 0
    assert leave(campus.host) == ""
    assert not (campus.host.directory / "left").exists()
