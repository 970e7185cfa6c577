"""Who the machine is, whatever stands in the place of its id."""

import os

import pytest

from neod.kernel import machine
from neod.kernel.files import StateFile

ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "MACHINE_ID", tmp_path / "machine-id")
    return tmp_path / "machine-id"


def test_a_link_to_the_id_is_followed(tmp_path, place):
    (tmp_path / "dbus").write_text(ID + "\n")
    place.symlink_to("dbus")
    assert machine.machine_id(StateFile(tmp_path / "own")) == ID


@pytest.mark.parametrize(
    "put",
    [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(path.name)],
    ids=["FIFO", "directory", "device", "link to itself"],
)
def test_what_is_no_file_is_no_id_and_one_of_our_own_is_kept(tmp_path, place, put):
    put(place)
    made = machine.machine_id(StateFile(tmp_path / "own"))
    assert made == machine.machine_id(StateFile(tmp_path / "own")) == (tmp_path / "own").read_text().strip()
