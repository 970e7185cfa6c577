"""Files of the state directory: whatever has their names, a start goes on; what cannot be written is, later."""

import errno
import os
import socket

import pytest

from neod.kernel import files
from neod.kernel.files import StateDirectory, StateFile, write_atomically

LARGE = files.MOST_BYTES + 1


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


@pytest.mark.parametrize(
    "put",
    [
        pytest.param(lambda path: os.mkfifo(path), id="FIFO"),
        pytest.param(lambda path: path.mkdir(), id="directory"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="link to a device"),
        pytest.param(lambda path: path.symlink_to(path.name), id="link to itself"),
        pytest.param(a_socket, id="socket"),
        pytest.param(lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), LARGE), id="too large"),
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe"), id="no text"),
        pytest.param(lambda path: path.write_text("[" * 200_000), id="no value"),
    ],
)
def test_what_is_no_file_of_ours_is_set_aside_said_and_replaced(tmp_path, put):
    path = tmp_path / "f"
    put(path)
    file = StateFile(path)
    assert file.load(lambda content: [int(content)]) is None
    assert "kept as f.bad" in file.problem
    assert os.path.lexists(tmp_path / "f.bad")
    assert file.save(b"7") == file.problem == ""
    assert StateFile(path).load(lambda content: [int(content)]) == [7]


def test_a_second_one_is_set_aside_beside_the_first(tmp_path):
    for _ in range(2):
        (tmp_path / "f").mkdir()
        (tmp_path / "f" / "x").touch()
        StateFile(tmp_path / "f").load(bytes)
    assert len(list(tmp_path.glob("f.bad*"))) == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["open", "fsync"])
def test_what_could_not_be_written_is_written_as_soon_as_it_can_be(tmp_path, monkeypatch, code, call):
    directory = StateDirectory(tmp_path)
    file = directory.file("f")
    assert file.save(b"old") == ""

    def fail(*_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as broken:
        broken.setattr(files.os, call, fail)
        assert os.strerror(code) in file.save(b"new")
        directory.save_again()
    assert directory.problems == [file.problem]
    assert file.path.read_bytes() == b"old"
    directory.save_again()
    assert (file.path.read_bytes(), directory.problems) == (b"new", [])
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_what_a_kill_left_beside_a_file_does_not_stay(tmp_path):
    os.mkfifo(tmp_path / ".f.new")
    write_atomically(tmp_path / "f", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
