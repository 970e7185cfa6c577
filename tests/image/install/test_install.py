"""``make install`` under a DESTDIR: what it puts where, what it never overwrites, and that uninstall leaves nothing."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
PYTHON = Path("/usr/bin/python3")
PREFIX = "/opt/neo"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def make(verb: str, destdir: Path) -> str:
    """Run make install or uninstall as a packager would, and return what it printed."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "MAKEFLAGS")}
    argv = ["make", "--no-print-directory", verb, f"DESTDIR={destdir}", f"PREFIX={PREFIX}"]
    return subprocess.run(argv, cwd=TOP, env=env, check=True, capture_output=True, text=True).stdout


def files(root: Path) -> set[str]:
    """Return every file and link below *root*."""
    return {f"/{path.relative_to(root)}" for path in root.rglob("*") if path.is_symlink() or path.is_file()}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh installation."""
    if not PYTHON.exists() or not shutil.which("gcc") or not Path("/usr/include/python3.11").exists():
        pytest.skip(f"needs {PYTHON}, gcc and Python's headers, for python-iptables is built from source")
    destdir = tmp_path_factory.mktemp("dest")
    make("install", destdir)
    return destdir


def test_everything_is_where_systemd_iproute_and_shells_look(installed: Path) -> None:
    assert {
        f"{PREFIX}/bin/neod", f"{PREFIX}/bin/neodctl", f"{PREFIX}/bin/neo-race",
        f"{PREFIX}/lib/systemd/system/neod.service", f"{PREFIX}/lib/systemd/system/neo-race.service",
        f"{PREFIX}/lib/systemd/system/neo-wait-online.service", f"{PREFIX}/lib/sysusers.d/neo.conf",
        f"{PREFIX}/lib/modules-load.d/neo.conf", "/etc/iproute2/rt_protos.d/neo.conf", "/etc/neo/neo.toml",
        "/etc/neo/neo.schema.json", f"{PREFIX}/share/bash-completion/completions/neodctl",
        f"{PREFIX}/share/zsh/site-functions/_neodctl", f"{PREFIX}/share/fish/vendor_completions.d/neodctl.fish",
        f"{PREFIX}/share/doc/neo/examples/campus.toml",
        f"{PREFIX}/share/doc/neo/examples/proxy-in-namespace.conf",
        f"{PREFIX}/share/man/man8/neod.8",
        f"{PREFIX}/share/man/man1/neodctl.1",
        f"{PREFIX}/share/man/man5/neo.toml.5",
    } <= files(installed)  # fmt: skip


def test_commands_and_units_have_the_paths_of_the_installation(installed: Path) -> None:
    for name in ("neod", "neodctl", "neo-race"):
        assert (installed / f"opt/neo/bin/{name}").read_text().startswith(f"#!{PREFIX}/lib/neo/bin/python3 -I\n")
    for unit in (installed / "opt/neo/lib/systemd/system").iterdir():
        commands = re.findall(r"^Exec(?:Start|Reload|Stop)\w*=(/\S+)", unit.read_text(), re.M)
        assert commands and all(path.startswith(("/bin/", f"{PREFIX}/bin/")) for path in commands), unit.name


def test_nothing_names_the_place_it_was_made_at(installed: Path) -> None:
    places = [str(installed).encode(), str(TOP).encode()]
    telling = [
        str(path) for path in installed.rglob("*")
        if path.is_file() and any(place in path.read_bytes() for place in places)
    ]  # fmt: skip
    assert telling == []


def test_the_installed_program_runs_and_is_compiled(installed: Path) -> None:
    home = installed / "opt/neo/lib/neo"
    main = "import sys; from neod.cli.main import main; sys.exit(main(sys.argv[1:]))"
    argv = [
        home / "bin/python3",
        "-I",
        "-c",
        main,
        "validate",
        installed / "opt/neo/share/doc/neo/examples/campus.toml",
    ]
    assert subprocess.run(argv, check=True, capture_output=True, text=True).stdout.endswith("is valid.\n")
    sources = set((home / "lib").rglob("neod/**/*.py"))
    compiled = {path.parent.parent / f"{path.name.split('.')[0]}.py" for path in (home / "lib").rglob("neod/**/*.pyc")}
    assert sources and sources == compiled


def test_installing_again_keeps_the_file_and_drops_what_is_no_longer_shipped(installed: Path) -> None:
    before = files(installed)
    (installed / "etc/neo/neo.toml").write_text("[sysctl]\n")
    stale = "/opt/neo/lib/systemd/system/neo-of-old.service"
    (installed / stale[1:]).write_text("[Unit]\n")
    with (installed / "opt/neo/lib/neo/manifest").open("a") as manifest:
        manifest.write(f"{stale}\n")
    make("install", installed)
    assert (installed / "etc/neo/neo.toml").read_text() == "[sysctl]\n"
    assert files(installed) == before
    make("uninstall", installed)
    assert files(installed) == {"/etc/neo/neo.toml"}


def test_uninstall_takes_an_unchanged_file_too(installed: Path) -> None:
    (installed / "etc/neo/neo.toml").unlink()
    make("install", installed)
    make("uninstall", installed)
    assert files(installed) == set()
    assert [path for path in installed.rglob("neo") if path != installed / "opt/neo"] == []
