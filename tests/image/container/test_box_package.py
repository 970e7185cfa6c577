"""The Debian package: installed, upgraded under a running daemon, removed, purged."""

from tests.lab import look
from tests.lab.debian.campus import BootedCampus
from tests.lab.debian.trees import Built
from tests.lab.probe import Echo, Probe

LEFTOVERS = (
    "ls -d /etc/neo /var/lib/neo /usr/lib/neo /run/neo /usr/bin/neo* /etc/iproute2/rt_protos.d/neo.conf "
    "/etc/systemd/system/*/neo* /usr/lib/systemd/system/neo* /usr/lib/*.d/neo.conf "
    "/var/lib/systemd/deb-systemd-helper-enabled/*neo* "
    "/usr/share/doc/neo 2>/dev/null; getent group neo; dpkg -l neo 2>/dev/null | grep ^.[^n]"
)


def test_the_package_from_installation_to_purge(bare: BootedCampus, built: Built) -> None:
    host = bare.host
    host.copy(built.package, "/root/neo.deb")
    host.ok("dpkg -i /root/neo.deb", timeout_s=120)
    assert (bare.show("ActiveState"), bare.show("UnitFileState")) == ("inactive", "disabled")
    host.run("systemctl start neod")
    assert bare.show("ExecMainStatus") == "78", "the file as it is shipped asks for nothing"

    bare.configure()
    host.ok("systemctl enable --quiet --now neod")
    before, pid = bare.converged(), bare.pid()
    bare.stored()
    assert "neo" in host.ok("ip -4 route show table all proto neo")  # the name of the protocol

    echo = Echo(bare.lan, str(bare.plan.gateway))
    try:
        with Probe(host.ns, bare.addresses(), str(bare.plan.gateway)) as probe:
            host.ok("dpkg -i /root/neo.deb && neodctl wait --timeout 30s", timeout_s=120)
            assert probe.finish() == []
    finally:
        echo.stop()
    assert bare.pid() not in (0, pid)
    assert before.difference(look(host.ns)) == []
    assert "[macvlans.neo]" in host.ok("cat /etc/neo/neo.toml")

    assert "sh /run/neo-left" in host.ok("dpkg -r neo")
    assert (bare.show("ActiveState"), host.run("pgrep -f neod").out) == ("inactive", "")
    assert before.difference(look(host.ns)) == [], "a removal keeps the network"
    assert "sh /run/neo-left" in host.ok("dpkg -P neo")
    assert host.run(LEFTOVERS).out == ""
    host.ok("sh /run/neo-left")
    left = look(host.ns).owned()
    assert not any((left.links, left.addresses, left.routes, left.rules)), "the script takes it all away"
