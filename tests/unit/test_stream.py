"""What a transfer of the lab says of bytes that arrive in the wrong place."""

import warnings

import pytest
from tests.lab import transfer
from tests.lab.stream import CHUNK, PERIOD, Wrong, misplaced_by_kernel, sent, wrong
from tests.lab.transfer import BytesMisplacedByLinux, Transfer

AT = 3 * PERIOD - 100_000  # the region goes over the end of the period


def replaced(*pieces: tuple[int, bytes], at: int = AT, length: int = CHUNK) -> bytes:
    arrived = bytearray(sent(at, length))
    for begin, piece in pieces:
        arrived[begin - at : begin - at + len(piece)] = piece
    return bytes(arrived)


def test_what_was_sent_is_right_at_every_place():
    assert wrong(sent(AT, 2 * CHUNK), AT) == []
    assert sent(AT, 5) == sent(AT + PERIOD, 5) != sent(AT + 1, 5)


@pytest.mark.parametrize("distance", [1, 1424, 2_827_376, -9432])
def test_a_mapping_from_elsewhere_is_found_with_place_length_and_distance(distance):
    at = AT + 99_000  # it goes over the end of the period, too
    (one,) = wrong(replaced((at, sent(at + distance, 28_480))), AT)
    assert (one.distance, one.by_kernel) == (distance, True)
    assert one.at + one.length == pytest.approx(at + 28_480, abs=3)  # a byte may be the right one by chance
    assert one.at == pytest.approx(at, abs=3)


def test_two_mappings_side_by_side_are_two():
    first, second = AT + 10, AT + 10 + 33_041
    found = wrong(replaced((first, sent(first + 210_880, 33_041)), (second, sent(second + 127_992, 16_799))), AT)
    assert [one.distance for one in found] == [210_880, 127_992]
    assert misplaced_by_kernel(found, 2)
    assert not misplaced_by_kernel(found, 1)  # of one subflow only the first data can be misplaced


@pytest.mark.parametrize(
    "piece",
    [
        bytes(2000),  # of nowhere
        sent(AT + 5000 + 9000, 70_000),  # more than a mapping
        sent(AT + 5000 + 9000, CHUNK - 5000),  # a hole: it is never right again
        b"x",  # too short to tell
    ],
)
def test_what_does_not_look_like_the_defect_of_the_kernel_is_none(piece):
    found = wrong(replaced((AT + 5000, piece)), AT)
    assert found
    assert not misplaced_by_kernel(found, 100)


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Judge what a receiver has printed, in namespaces where twelve subflows have joined."""
    monkeypatch.setattr(transfer, "mptcp_counters", lambda ns: {"MPTcpExtMPJoinAckRx": "12"})

    def judge(*lines: str) -> None:
        (tmp_path / "recv.log").write_text("\n".join(("listening", "1.000 5", *lines)) + "\n")
        Transfer("server", "host", "192.0.2.10", tmp_path).judge()

    return judge


def test_the_defect_of_the_kernel_is_told_and_passes(judged):
    with pytest.warns(BytesMisplacedByLinux, match=r"28480 bytes at 700 are those of \+2827376 bytes") as told:
        judged("differs 700", "wrong 700 28480 2827376", "right 262844", "9.000 999999", "eof")
    assert "server: MPTcpExtMPJoinAckRx 12" in str(told[0].message)


@pytest.mark.parametrize(
    "lines",
    [
        ("differs 700",),  # and never right again
        ("differs 700", "wrong 700 28480 0", "right 262844"),
        ("differs 700", "wrong 700 28480 2827376", "wrong 900000 10 0", "right 1262844"),
    ],
)
def test_everything_else_fails_and_says_where(judged, lines):
    with pytest.raises(AssertionError, match="not those that were sent"):
        judged(*lines)


def test_right_bytes_are_no_news(judged):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judged("9.000 999999", "eof")


def test_a_receiver_tells_runs_of_wrong_bytes_once_they_have_ended(capsys):
    region = replaced((700, sent(700 + 5000, 1424)), at=500)
    transfer._drain(Calls([sent(0, 500), region, sent(500 + CHUNK, 40_000)]), bytearray(CHUNK))
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = [Wrong(*map(int, line[1:])) for line in printed if line[0] == "wrong"]
    assert [(one.distance, one.by_kernel) for one in found] == [(5000, True)]
    assert [line for line in printed if line[0] in ("differs", "right")] == [
        ["differs", "500"],
        ["right", str(500 + CHUNK)],
    ]
    assert printed[-1] == ["eof"]


class Calls:
    """A socket whose calls return these bytes."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = [*pieces, b""]

    def recv_into(self, buffer: bytearray) -> int:
        piece = self.pieces.pop(0)
        buffer[: len(piece)] = piece
        return len(piece)
