"""What a start makes of a file that is wrong, and of one that could not be read to its end."""

import pytest
from tests.doubles.kernel import FakeClock

from neod.config import reader
from neod.daemon import main
from neod.daemon.config_store import ConfigStore
from neod.kernel.files import StateDirectory
from neod.model.errors import ConfigError, ReadingFailed

KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"  # as the kernel does when memory is short


def first(tmp_path, text):
    path = tmp_path / "neo.toml"
    path.write_text(text)
    store = ConfigStore(path, StateDirectory(tmp_path), FakeClock(), lambda intents: None)
    return store.load_initial(reader.spawn(str(path)))


def exit_status(monkeypatch, error):
    def fails(arguments):
        raise error

    monkeypatch.setattr(main, "_start", fails)
    return main.main([])


def test_a_wrong_file_ends_the_start_for_good(tmp_path, monkeypatch):
    with pytest.raises(ConfigError) as caught:
        first(tmp_path, "[macvlans.neo]\ncuont = 1\n")
    assert "cuont" in str(caught.value)
    assert exit_status(monkeypatch, caught.value) == 78


def test_a_file_that_was_not_read_to_its_end_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "BOOT", KILLED)
    with pytest.raises(ReadingFailed) as caught:
        first(tmp_path, "")
    assert "SIGKILL" in str(caught.value)
    assert exit_status(monkeypatch, caught.value) == 69


def test_the_last_good_file_is_used_instead_of_a_wrong_one(tmp_path, capsys):
    (tmp_path / "last-good.toml").write_text('[sysctl]\n"net.ipv4.ip_forward" = "1"\n')
    loaded = first(tmp_path, "[macvlans.neo]\ncuont = 1\n")
    assert b"ip_forward" in loaded.text
    assert "the last good file is used instead" in capsys.readouterr().err
