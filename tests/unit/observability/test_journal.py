"""The journal's own protocol, against a socket that stands for journald."""

import array
import io
import os
import socket
import struct
import subprocess
import sys
from contextlib import closing

import pytest

from neod.observability.journal import JournalLogger, leads_to_journal, message_id
from neod.observability.logs import journal_entry


@pytest.fixture
def journald(tmp_path):
    """A socket, and where it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "socket"))
        sock.settimeout(5)
        yield sock, str(tmp_path / "socket")


def parsed(data):
    """Return the fields of a datagram, as journald reads them."""
    found = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, sign, value = line.partition(b"=")
        if not sign:
            (length,) = struct.unpack("<Q", data[:8])
            value, data = data[8 : 8 + length], data[8 + length + 1 :]
        found[name.decode()] = value.decode()
    return found


def sent(journald, **fields):
    sock, path = journald
    args, kwargs = journal_entry(None, "", fields)
    JournalLogger(io.StringIO(), path).info(*args, **kwargs)
    data, ancillary, _, _ = sock.recvmsg(1 << 20, socket.CMSG_SPACE(4))
    for _, _, rights in ancillary:
        (memory,) = array.array("i", rights)
        with open(memory, "rb") as file:
            file.seek(0)
            return parsed(file.read())
    return parsed(data)


def test_a_line_has_its_values_as_fields(journald):
    found = sent(
        journald, level="warning", event="repaired", object="rule:11003/x", _path="neo3", took_ms=4.1, by="ip[8]"
    )
    assert found.pop("SYSLOG_IDENTIFIER")
    assert found == {
        "MESSAGE": "repaired object=rule:11003/x took_ms=4.1 by=ip[8]",
        "PRIORITY": "4",
        "MESSAGE_ID": message_id("repaired"),
        "NEO_EVENT": "repaired",
        "NEO_OBJECT": "rule:11003/x",
        "NEO_KIND": "rule",
        "NEO_PATH": "neo3",
        "INTERFACE": "neo3",
        "NEO_TOOK_MS": "4.1",
        "NEO_BY": "ip[8]",
    }


def test_a_link_is_an_interface_and_a_path(journald):
    found = sent(journald, event="path down", object="link:neo3")
    assert (found["INTERFACE"], found["NEO_PATH"], found["NEO_KIND"]) == ("neo3", "neo3", "link")


def test_no_value_makes_a_field_of_its_own(journald):
    found = sent(journald, event="seen\nPRIORITY=0", name="x\n_UID=0", **{"odd name=": "y"})
    assert "PRIORITY=0" in found["MESSAGE"] and found["PRIORITY"] == "6"
    assert found["NEO_ODD_NAME_"] == "y"
    assert "_UID" not in found


def test_a_traceback_has_its_lines(journald):
    found = sent(journald, level="error", event="bug", exception="a\nb")
    assert found["MESSAGE"] == "bug\n  a\n  b"


def test_what_no_datagram_holds_comes_as_a_sealed_file(journald):
    found = sent(journald, event="pass", detail="x" * 1_000_000)
    assert len(found["NEO_DETAIL"]) == 1_000_000


def test_without_a_journal_lines_go_to_standard_error(tmp_path):
    told = io.StringIO()
    JournalLogger(told, str(tmp_path / "absent")).info("<6>ready", {"MESSAGE": "ready"})
    assert told.getvalue() == "<6>ready\n"


def test_a_journal_that_does_not_read_holds_nobody_up_and_what_is_lost_is_counted(journald):
    sock, path = journald
    told = io.StringIO()
    logger = JournalLogger(told, path)
    for number in range(5000):
        logger.info(f"<6>{number}", {"MESSAGE": str(number)})
    received = 0
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        while sock.recv(4096):
            received += 1
    logger.info("<6>last", {"MESSAGE": "last"})
    assert parsed(sock.recv(4096)) == {"MESSAGE": "last", "NEO_LOST": str(5000 - received)}
    assert 0 < received < 5000
    assert told.getvalue() == ""


def test_only_what_the_service_manager_connected_is_the_journal(tmp_path):
    with open(tmp_path / "file", "w") as file, closing(socket.socket()) as other:
        status = os.fstat(file.fileno())
        stream = f"{status.st_dev}:{status.st_ino}"
        assert leads_to_journal(file.fileno(), stream)
        assert not leads_to_journal(other.fileno(), stream)
        assert not leads_to_journal(file.fileno(), "")
    assert not leads_to_journal(999_999, stream)  # a closed descriptor


def test_a_daemon_whose_standard_error_was_led_elsewhere_writes_there(tmp_path):
    """A unit with StandardError=file: has JOURNAL_STREAM of its standard output."""
    script = "from neod.observability.logs import configure; configure('info', 'auto').info('ready', _path='neo1')"
    environment = os.environ | {"JOURNAL_STREAM": "1:2"}
    answer = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert answer.stderr == "<6>ready\n"
