"""The values to restore, on disk and in the copy that ends with the boot."""

import json
import shutil
from dataclasses import replace

import pytest

from neod.kernel.files import StateFile
from neod.kernel.sysctls import Lifetime, ProcSysctls
from neod.kinds.sysctl import moved

HERE = Lifetime("this boot", 4026531840, 7)
FOUND = {"net/ipv4/ip_forward": "0", "net/ipv4/conf/eth0/forwarding": "0"}


@pytest.fixture
def places(tmp_path):
    return tmp_path / "state" / "sysctls.json", tmp_path / "run"


def originals(places, lifetime=HERE):
    return ProcSysctls(StateFile(places[0]), places[1], lifetime).originals()


def remember(places, values, lifetime=HERE):
    ProcSysctls(StateFile(places[0]), places[1], lifetime).remember(values)


def test_a_file_that_cannot_be_used_is_set_aside_and_not_written_over(tmp_path):
    store = tmp_path / "sysctls.json"
    store.write_text("{ broken")
    sysctls = ProcSysctls(StateFile(store), lifetime=HERE)
    assert sysctls.originals() == {}
    sysctls.remember({"net/ipv4/ip_forward": "0"})
    assert (tmp_path / "sysctls.json.bad").read_text() == "{ broken"
    assert ProcSysctls(StateFile(store), lifetime=HERE).originals() == {"net/ipv4/ip_forward": "0"}
    assert ProcSysctls(StateFile(store), lifetime=replace(HERE, boot="another boot")).originals() == {}


@pytest.mark.parametrize("lost", [0, 1])
def test_either_copy_will_do(places, lost):
    remember(places, FOUND)
    shutil.rmtree(places[lost] if lost else places[0].parent)
    assert originals(places) == FOUND


@pytest.mark.parametrize("content", ["", "{ broken", '{"lifetime": "a copy from another boot/4026531840"}'])
def test_what_is_there_in_the_place_of_the_first_copy_does_not_hide_the_second(places, content):
    remember(places, FOUND)
    places[0].write_text(content)
    assert originals(places) == FOUND


def test_what_the_disk_refused_is_in_the_second_copy(places):
    remember(places, {"net/ipv4/ip_forward": "0"})
    shutil.rmtree(places[0].parent)
    places[0].parent.write_text("")  # no directory can be made there
    remember(places, FOUND)
    assert originals(places) == FOUND
    remember(places, dict.fromkeys(FOUND))
    assert originals(places) == {}


def test_a_copy_is_of_one_namespace_and_one_boot(places):
    remember(places, FOUND)
    assert originals(places, replace(HERE, cookie=8)) == {}  # it got the inode of one that went
    assert originals(places, replace(HERE, boot="the next")) == {}


def test_what_an_older_neo_wrote_later_counts_and_nothing_to_restore_needs_no_second_copy(places):
    remember(places, FOUND)
    places[0].write_text('{"version": 1, "lifetime": "this boot/4026531840", "originals": {"net/x": "1"}}')
    assert originals(places) == {"net/x": "1"}
    remember(places, {"net/x": None, "net/y": "2"})
    assert originals(places) == {"net/y": "2"}
    remember(places, {"net/y": None})
    assert list(places[1].iterdir()) == []


SENSELESS = {
    "a half of a letter in a path": {"net/\ud800": "1"},
    "a half of a letter in a value": {"net/ipv4/tcp_ecn": "\ud800"},
    "a byte 0 in a path": {"net/\0/forwarding": "1"},
    "a byte 0 in a value": {"net/ipv4/tcp_ecn": "1\0"},
    "a way up": {"net/ipv4/conf/../conf/all/forwarding": "1"},
    "no path": {"": "1"},
    "a value that is too long": {"net/ipv4/tcp_ecn": "9" * 5000},
    "a number": {"net/ipv4/tcp_ecn": 1},
    "null": {"net/ipv4/tcp_ecn": None},
}


@pytest.mark.parametrize("place", ["originals", "switches"])
@pytest.mark.parametrize("wrong", SENSELESS.values(), ids=SENSELESS.keys())
def test_a_value_that_cannot_have_been_found_costs_the_others_nothing(places, wrong, place):
    sound = {"net/ipv4/conf/a.b/forwarding": "0", "mptcp/limits": "2 2", "arp_ignore of eth0": "", "net/ipv4/x": "1 2"}
    remember(places, sound)
    for path in (places[0], *places[1].iterdir()):
        document = json.loads(path.read_text())
        document[place] |= wrong
        path.write_text(json.dumps(document))
    file = StateFile(places[0])
    assert ProcSysctls(file, places[1], HERE).originals() == sound
    assert "no value of a sysctl" in file.problem and "kept as sysctls.json.bad" in file.problem
    again = StateFile(places[0])
    assert (ProcSysctls(again, places[1], HERE).originals(), again.problem) == (sound, "")


@pytest.mark.parametrize("note", ["link/x/ipv4/forwarding", "link//", f"link/{'9' * 30}/ipv4/forwarding", "link/7"])
@pytest.mark.parametrize("path", ["net/ipv4/conf/eth0/forwarding", "net/ipv4"])
def test_a_note_of_no_link_moves_nothing(note, path):
    assert moved({note: path, path: "0"}, lambda _: "eth1") == {}


def test_what_was_found_goes_with_its_link():
    path, there = "net/ipv4/conf/eth0/forwarding", "net/ipv4/conf/eth1/forwarding"
    note = "link/7/ipv4/forwarding"
    assert moved({note: path, path: "0"}, lambda _: "eth1") == {path: None, note: there, there: "0"}
