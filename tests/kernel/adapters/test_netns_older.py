"""A namespace of ours that loses its name: whose it is, and who gets the name back."""

import asyncio
import os
import signal
import subprocess
import uuid
from pathlib import Path

import pytest

from neod.kernel.netns_files import NamedNamespaces
from neod.kinds.netns import NetnsSpec, seen_as
from neod.model.change import Seen

pytestmark = pytest.mark.kernel

OURS, NAMELESS = Seen(NetnsSpec(), True), Seen(NetnsSpec(named=False), False)
FOREIGN = Seen(NetnsSpec(ours=False), False)


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


class Place:
    """One name of ours below /run/netns, looked at by a process that may have just started."""

    def __init__(self, marks):
        self.marks, self.name = marks, f"neoold-{uuid.uuid4().hex[:6]}"
        self.path, self.names, self.pids = Path("/run/netns") / self.name, NamedNamespaces(marks), []
        self.make()

    def make(self):
        asyncio.run(self.names.make(self.name))

    def restart(self):
        """What a new process knows."""
        self.names = NamedNamespaces(self.marks)

    def forget_files(self):
        for file in self.marks.iterdir():
            file.unlink()

    def seen(self):
        return seen_as(asyncio.run(self.names.look(self.name)))

    def restore(self):
        asyncio.run(self.names.restore(self.name))
        return self.inode()

    def inode(self):
        return self.path.stat().st_ino

    def live(self, *argv):
        """Start a program inside that is not our child."""
        argv = argv or ("sleep", "60")
        words = " ".join(argv)
        script = f"nsenter --net={self.path} {words} >/dev/null 2>&1 & echo $!"
        pid = int(run("sh", "-c", script))
        self.pids.append(pid)
        inside = f"net:[{self.inode()}]"
        for _ in range(500):
            if os.readlink(f"/proc/{pid}/ns/net") == inside:
                return pid
            subprocess.run(["sleep", "0.01"], check=True)
        raise AssertionError("it does not come in")

    def end(self, pid):
        os.kill(pid, signal.SIGKILL)
        self.pids.remove(pid)
        for _ in range(500):
            if not Path(f"/proc/{pid}/ns/net").is_symlink():
                return
            subprocess.run(["sleep", "0.01"], check=True)

    def close(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        while subprocess.run(["umount", "-l", self.path], check=False, capture_output=True).returncode == 0:
            pass
        self.path.unlink(missing_ok=True)


@pytest.fixture
def place(tmp_path):
    if os.geteuid():
        pytest.skip("needs root")
    made = Place(tmp_path / "marks")
    yield made
    made.close()


def test_the_mark_is_in_the_namespace_and_outlives_files_and_process(place):
    place.forget_files()
    place.restart()
    assert place.seen() == OURS
    place.restart()
    place.forget_files()
    assert place.name in place.names.names(), "what the file no longer asks for is found, and can be removed"


def test_a_namespace_with_the_mark_of_another_neod_is_foreign(place):
    alias = run("ip", "-n", place.name, "-o", "link", "show", "lo").split("alias ")[1].split()[0]
    run("ip", "-n", place.name, "link", "set", "lo", "alias", f"{alias}1")
    place.restart()
    assert place.seen() == FOREIGN


WAYS = {
    "deleted": lambda place: run("ip", "netns", "del", place.name),
    "unmounted": lambda place: run("umount", place.path),
    "unlinked": lambda place: run("sh", "-c", f"umount {place.path} && rm {place.path}"),
    "replaced": lambda place: run("sh", "-c", f"ip netns del {place.name} && ip netns add {place.name}"),
    "covered": lambda place: (
        run("ip", "netns", "add", f"{place.name}-b"),
        run("mount", "--bind", f"{place.path}-b", place.path),
        run("ip", "netns", "del", f"{place.name}-b"),
    ),
}


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("way", WAYS)
def test_where_a_program_lives_the_old_one_gets_its_name_back(place, way, restarted):
    inode = place.inode()
    pid = place.live()
    WAYS[way](place)
    if restarted:
        place.restart()
    assert place.seen() == NAMELESS
    assert place.restore() == inode
    assert place.seen() == OURS
    assert [one.pid for one in asyncio.run(place.names.dwellers([place.name]))[place.name]] == [pid]


@pytest.mark.parametrize("way", [way for way in WAYS if way != "covered"])
def test_where_nobody_lives_it_is_made_anew(place, way):
    WAYS[way](place)
    assert place.seen() is None
    place.make()
    assert place.seen() == OURS


def test_without_its_name_it_is_nothing_that_the_file_may_have_left_over(place):
    """Looked at once a second, its processes would be searched for as often, though nobody wants it."""
    assert place.names.standing() == [place.name]
    run("ip", "netns", "del", place.name)
    assert place.name not in place.names.standing()
    place.restart()
    assert place.name not in place.names.standing()


def test_the_name_is_not_given_back_once_the_program_has_ended(place):
    inode, pid = place.inode(), place.live()
    run("ip", "netns", "del", place.name)
    assert place.seen() == NAMELESS
    place.end(pid)
    assert place.restore() != inode


def test_what_others_use_keeps_the_name_and_the_old_one_is_told(place):
    pid = place.live()
    WAYS["replaced"](place)
    run("ip", "-n", place.name, "link", "add", "br0", "type", "bridge")
    run("ip", "-n", place.name, "link", "set", "br0", "up")
    assert place.seen() == FOREIGN
    assert [one.pid for one in asyncio.run(place.names.dwellers_of_older())[place.name]] == [pid]


def test_a_new_one_in_which_somebody_lives_is_not_taken_away(place):
    place.live()
    WAYS["replaced"](place)
    place.live()
    assert place.seen() is None, "it is taken over"


def test_of_several_the_one_that_had_the_name_last_gets_it(place):
    place.live()
    run("umount", place.path)
    place.make()
    last, pid = place.inode(), place.live()
    run("umount", place.path)
    assert place.restore() == last
    place.end(pid)
    run("umount", place.path)
    assert place.seen() == NAMELESS, "the first one still has its program"
    assert place.restore() != last


@pytest.mark.parametrize("what", ["descriptor", "socket"])
def test_a_program_outside_that_holds_it_open_counts(place, what):
    inode = place.inode()
    if what == "descriptor":
        pid = int(run("sh", "-c", f"sleep 60 <{place.path} >/dev/null 2>&1 & echo $!"))
    else:
        code = (
            "import ctypes, os, socket, time\n"
            "libc, home = ctypes.CDLL(None), os.open('/proc/self/ns/net', 0)\n"
            f"libc.setns(os.open('{place.path}', 0), 0)\n"
            "listening = socket.create_server(('127.0.0.1', 4433))\n"
            "libc.setns(home, 0); os.closerange(4, listening.fileno()); os.closerange(listening.fileno() + 1, 99)\n"
            "print(os.getpid(), flush=True); time.sleep(60)\n"
        )
        child = subprocess.Popen(["setsid", "python3", "-c", code], stdout=subprocess.PIPE, text=True)
        pid = int(child.stdout.readline())
    place.pids.append(pid)
    run("umount", "-l", place.path)
    assert place.seen() == NAMELESS
    assert place.restore() == inode
