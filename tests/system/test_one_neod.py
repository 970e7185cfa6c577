"""One neod a network namespace: a second one would take the first one's objects for orphans."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab import netns, poll
from tests.lab.host import Host, program
from tests.lab.netns import argv_in

pytestmark = pytest.mark.kernel

EX_TEMPFAIL = 75
LINK = '[links.br7]\nkind = "bridge"\n'
OWN_RUN = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh")
NOBODY = 65534


@contextlib.contextmanager
def a_host(directory: Path, text: str = LINK) -> Iterator[Host]:
    with netns.namespace("one") as ns:
        netns.ip(ns, "link", "add", "eth9", "type", "veth", "peer", "name", "eth9p")
        host = Host(ns, directory / ns)
        try:
            host.write_config(text)
            host.start_neod()
            host.wait()
            yield host
        finally:
            host.close()


@pytest.fixture
def host(laboratory, tmp_path) -> Iterator[Host]:
    with a_host(tmp_path) as made:
        yield made


def second(ns: str, directory: Path, wrap: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """Start another neod, with directories of its own, in the namespace *ns*; it ends by itself or after 5 s."""
    directory.mkdir()
    file = directory / "other.toml"
    file.write_text("[daemon]\n")
    places = ["--config", str(file), "--runtime-dir", str(directory / "run"), "--state-dir", str(directory / "state")]
    argv = argv_in(ns, *wrap, "timeout", "5", *program("neod"), *places)
    return subprocess.run(argv, capture_output=True, text=True, timeout=20)


def test_second_neod_with_other_directories_refuses_and_names_the_first(host, tmp_path):
    before = host.look()
    told = second(host.ns, tmp_path / "other")
    assert told.returncode == EX_TEMPFAIL
    assert f"pid {host.neod.pid}, runtime directory {host.runtime}" in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert before.difference(host.look()) == []


def test_second_neod_in_a_container_with_a_run_of_its_own_refuses(host, tmp_path):
    told = second(host.ns, tmp_path / "other", OWN_RUN)
    assert told.returncode == EX_TEMPFAIL
    assert f"pid {host.neod.pid}, in a container" in told.stderr


def test_namespace_is_free_at_once_after_kill_9(host):
    host.kill9()
    host.start_neod()
    host.wait()


def test_two_namespaces_have_a_neod_each(host, tmp_path):
    with a_host(tmp_path) as other:
        assert host.neod.running
        assert other.neod.running


def test_neod_in_a_namespace_that_another_neod_keeps_refuses(laboratory, tmp_path):
    name = netns.unique("kept")
    text = f'[namespaces.{name}]\nuplink = "eth9"\nsubnet = "10.254.0.0/30"\nexpose = []\nmasquerade = false\n'
    with a_host(tmp_path, text) as host:
        told = second(name, tmp_path / "other")
        assert told.returncode == EX_TEMPFAIL
        assert f"pid {host.neod.pid}, runtime directory {host.runtime}" in told.stderr
        assert host.ctl("down").status == 0


def test_nobody_without_privilege_can_hold_or_read_the_lock(laboratory, tmp_path):
    with netns.namespace("one") as ns:
        squat = ["socat", "-u", "ABSTRACT-LISTEN:neo/neod", "STDOUT"]
        with subprocess.Popen(argv_in(ns, "setpriv", f"--reuid={NOBODY}", "--clear-groups", *squat)) as squatter:
            try:
                poll(lambda: "neo/neod" in _unix_names(ns), 5, why="the name is taken")
                host = Host(ns, tmp_path / "host")
                host.write_config(LINK)
                host.start_neod()
                host.wait()
                assert second(ns, tmp_path / "other").returncode == EX_TEMPFAIL
                host.close()
            finally:
                squatter.terminate()
    look = subprocess.run(["ls", "/run/neo-lock"], user=NOBODY, extra_groups=[], capture_output=True)
    assert look.returncode and os.stat("/run/neo-lock").st_mode & 0o077 == 0


def _unix_names(ns: str) -> str:
    return netns.run(*argv_in(ns, "cat", "/proc/net/unix")).stdout
