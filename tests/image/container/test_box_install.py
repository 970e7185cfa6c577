"""``make install`` and ``make uninstall`` on a system that runs."""

import io
import tarfile
from pathlib import Path

from tests.lab import look
from tests.lab.debian.campus import BootedCampus
from tests.lab.debian.trees import TOP, Built

SOURCES = (
    "src",
    "etc",
    "systemd",
    "docs",
    "tools",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
)
MAKE = "cd /root/neo && PIP_NO_INDEX=1 PIP_FIND_LINKS=/root/wheels make --no-print-directory"
LEFTOVERS = (
    "find / -xdev -newer /root/begin \\( -path /proc -o -path /sys -o -path /run -o -path /root -o -path /tmp "
    "-o -path /var/log -o -path /var/lib/neo \\) -prune -o -newer /root/begin -iname '*neo*' -print"
)


def packed(*paths: Path) -> bytes:
    """Return an archive of files and folders."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in paths:
            tar.add(path, path.name, filter=lambda member: None if "__pycache__" in member.name else member)
    return archive.getvalue()


def test_installed_enabled_and_uninstalled_on_a_running_system(
    bare: BootedCampus, built: Built, tmp_path: Path
) -> None:
    for name, paths in (("neo", [TOP / name for name in SOURCES]), ("wheels", sorted(built.wheels.glob("*.whl")))):
        (tmp_path / name).write_bytes(packed(*paths))
        bare.host.copy(tmp_path / name, f"/root/{name}.tar")
        bare.host.ok("mkdir -p /root/$1 && tar -x -f /root/$1.tar -C /root/$1", name)
    bare.host.ok("touch /root/begin")
    said = bare.host.ok(f"{MAKE} install", timeout_s=300)
    assert "systemctl enable --now neod" in said
    assert bare.host.ok("getent group neo")
    bare.configure()
    bare.host.ok("neodctl validate && systemctl enable --quiet --now neod neo-wait-online")
    before = bare.converged()
    assert (bare.show("ActiveState"), bare.show("UnitFileState")) == ("active", "enabled")

    said = bare.host.ok(f"{MAKE} install && systemctl restart neod && neodctl wait --timeout 60s", timeout_s=300)
    assert "stays as it is" in said, "the second installation is an upgrade, and the file is the administrator's"
    assert before.difference(bare.converged()) == []

    said = bare.host.ok(f"{MAKE} uninstall")
    assert "was changed and stays" in said
    assert (bare.show("ActiveState"), bare.host.run("pgrep -f neod").out) == ("inactive", "")
    assert before.difference(look(bare.host.ns)) == [], "the network stays"
    assert bare.host.ok(LEFTOVERS).split() == ["/etc/neo", "/etc/neo/neo.toml"]
