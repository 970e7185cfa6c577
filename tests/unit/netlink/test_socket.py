"""Requests and dumps of a connection against sockets that answer what a test wants."""

import errno
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doubles.scripted_socket import INTR, ack, done, message, scripted

from neod.netlink.message import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkError
from neod.netlink.socket import DUMP_PAUSES_S, NETLINK_ROUTE, Connection

NEW, GET = 16, 18
REQUEST = (NEW, NLM_F_ACK, b"body")
OVERRUN = OSError(errno.ENOBUFS, "No buffer space available")


def connection(*scripts):
    opener, sockets = scripted(*scripts)
    return Connection(NETLINK_ROUTE, opener), sockets


def thing(number, payload=b"12345678", flags=0):
    return message(NEW, number, payload, flags)


def codes(answers):
    return [answer and answer.code for answer in answers]


# ------------------------------------------------------------ requests


def test_requests_go_out_in_one_send_with_numbers_of_their_own():
    made, (sock,) = connection(lambda n: [ack(x) for x in n])
    assert made.exchange([REQUEST, (GET, 0, b"x")]) == [None, None]
    ((first, second),) = sock.sent
    assert (first[0], first[1], first[3]) == (NEW, NLM_F_ACK | NLM_F_REQUEST, b"body")
    assert (second[0], second[1], second[3], second[2] - first[2]) == (GET, NLM_F_REQUEST, b"x", 1)


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), max_size=5))
def test_answers_are_matched_by_number_in_any_order_and_in_any_datagrams(order, cuts):
    def script(numbers):
        parts = [ack(numbers[place], place) for place in order]
        edges = [0, *sorted(cuts), len(parts)]
        return [b"".join(parts[a:b]) for a, b in itertools.pairwise(edges)]

    made, _ = connection(script)
    assert codes(made.exchange([REQUEST] * 5)) == [None, 1, 2, 3, 4]


def test_the_answer_to_a_get_is_the_object():
    made, _ = connection(lambda n: [thing(n[0], b"one") + ack(n[1], errno.ENODEV)])
    (type_, payload), error = made.exchange([(GET, 0, b""), (GET, 0, b"")])
    assert (type_, bytes(payload), error.code) == (NEW, b"one", errno.ENODEV)


def test_a_request_that_fails_has_the_words_of_the_kernel():
    made, _ = connection(lambda n: [ack(n[0], errno.EINVAL, "Invalid prefix length")])
    (error,) = made.exchange([REQUEST])
    assert (error.code, error.text) == (errno.EINVAL, "Invalid prefix length")


def test_nothing_is_sent_for_no_requests():
    made, (sock,) = connection()
    assert (made.exchange([]), sock.sent) == ([], [])


def test_late_answers_to_others_and_messages_of_netlink_itself_are_passed_over():
    noop = message(1, 1)
    made, _ = connection(lambda n: [noop + ack(n[0] - 1, errno.EPERM) + ack(n[0] + 7) + thing(0), ack(n[0])])
    assert made.exchange([REQUEST]) == [None]


@pytest.mark.parametrize("failure", [OVERRUN, None], ids=["overrun", "no answer"])
def test_a_lost_answer_fails_only_what_it_answered_and_the_next_request_has_a_new_socket(failure):
    made, sockets = connection(lambda n: [ack(n[0]), *([failure] if failure else [])], lambda n: [ack(n[0])])
    first, second = made.exchange([REQUEST] * 2)
    assert (first, second.code) == (None, errno.ENOBUFS if failure else errno.ETIMEDOUT)
    assert made.exchange([REQUEST]) == [None]
    assert [sock.closed for sock in sockets] == [True, False]


def test_an_overrun_is_reported_first_and_what_found_room_is_read_after_it():
    made, sockets = connection(lambda n: [OVERRUN, ack(n[0]), ack(n[2], errno.EEXIST), OVERRUN], lambda n: [ack(n[0])])
    assert codes(made.exchange([REQUEST] * 3)) == [None, errno.ENOBUFS, errno.EEXIST]
    assert made.exchange([REQUEST]) == [None]
    assert [sock.closed for sock in sockets] == [True, False]


def test_an_answer_that_cannot_be_read_is_a_lost_one():
    made, _ = connection(lambda n: [struct.pack("=IHHII", 0, 2, 0, n[0], 0)])
    assert codes(made.exchange([REQUEST])) == [errno.ETIMEDOUT]


def test_where_no_new_socket_can_be_opened_every_request_says_so_and_the_one_after_tries_again():
    opener, sockets = scripted(lambda n: [], lambda n: [ack(n[0])])
    failing = []

    def sometimes(*arguments):
        if failing:
            raise failing.pop()
        return opener(*arguments)

    made = Connection(NETLINK_ROUTE, sometimes)
    assert codes(made.exchange([REQUEST])) == [errno.ETIMEDOUT]
    failing.append(OSError(errno.ENOENT, "No such file or directory"))
    assert codes(made.exchange([REQUEST] * 2)) == [errno.ENOENT] * 2
    assert made.exchange([REQUEST]) == [None]
    assert len(sockets) == 2


FRAME = (0x10, 0, b"begin"), (0x11, 0, b"end")


def test_a_frame_stands_around_the_requests_and_is_not_waited_for():
    made, (sock,) = connection(lambda n: [ack(n[1])])
    assert made.exchange([REQUEST], FRAME) == [None]
    assert [(type_, payload) for type_, _, _, payload in sock.sent[0]] == [
        (0x10, b"begin"),
        (NEW, b"body"),
        (0x11, b"end"),
    ]


def test_a_frame_that_is_refused_is_the_answer_to_the_request():
    made, _ = connection(lambda n: [ack(n[0], errno.EPERM)])
    assert codes(made.exchange([REQUEST], FRAME)) == [errno.EPERM]


def test_numbers_begin_again_before_they_end():
    made, (sock,) = connection(*[lambda n: [ack(x) for x in n]] * 2)
    made._sequence = 0xFFFFFFFF - 1
    assert made.exchange([REQUEST] * 2) == [None] * 2
    assert made.exchange([REQUEST]) == [None]
    assert [number for sent in sock.sent for _, _, number, _ in sent] == [1, 2, 3]


# --------------------------------------------------------------- dumps


def test_a_dump_is_all_its_parts():
    made, (sock,) = connection(lambda n: [thing(n[0], b"1") + thing(n[0], b"2"), thing(n[0], b"3"), done(n[0])])
    assert [bytes(payload) for _, payload in made.dump(GET, b"how")] == [b"1", b"2", b"3"]
    ((type_, flags, _, payload),) = sock.sent[0]
    assert (type_, flags, payload) == (GET, NLM_F_REQUEST | NLM_F_DUMP, b"how")


INTERRUPTED = {
    "in the middle": lambda n: [thing(n[0], flags=INTR), thing(n[0]) + done(n[0])],
    "at the end": lambda n: [thing(n[0]), done(n[0], INTR)],
    "EINTR at the end": lambda n: [thing(n[0]), done(n[0], code=errno.EINTR)],
    "EINTR as an error": lambda n: [thing(n[0]), ack(n[0], errno.EINTR)],
    "refused while interrupted": lambda n: [thing(n[0], flags=INTR), done(n[0], code=errno.ENODEV)],
}


@pytest.mark.parametrize("how", INTERRUPTED)
def test_an_interrupted_dump_is_read_again(how):
    made, sockets = connection(INTERRUPTED[how], lambda n: [thing(n[0]) * 2, done(n[0])])
    assert len(made.dump(GET, b"")) == 2
    assert len(sockets) == 1


@pytest.mark.parametrize("how", INTERRUPTED)
def test_a_dump_that_never_settles_is_an_error_and_not_an_answer(how):
    made, (sock,) = connection(*[INTERRUPTED[how]] * len(DUMP_PAUSES_S))
    with pytest.raises(NetlinkError) as raised:
        made.dump(GET, b"")
    assert (raised.value.code, len(sock.sent)) == (errno.EINTR, len(DUMP_PAUSES_S))


@pytest.mark.parametrize("end", [ack, done], ids=["at once", "half way"])
def test_a_dump_that_fails_is_an_error_with_the_words_of_the_kernel(end):
    parts = [] if end is ack else [lambda n: thing(n[0])]
    made, sockets = connection(
        lambda n: [*(part(n) for part in parts), end(n[0], code=errno.EINVAL, text="Invalid header")],
        lambda n: [done(n[0])],
    )
    with pytest.raises(NetlinkError, match="Invalid header") as raised:
        made.dump(GET, b"")
    assert raised.value.code == errno.EINVAL
    assert (made.dump(GET, b""), len(sockets)) == ([], 1)  # the socket is as good as before


def test_an_acknowledgement_is_no_end_of_a_dump():
    made, _ = connection(lambda n: [ack(n[0])])
    with pytest.raises(NetlinkError) as raised:
        made.dump(GET, b"")
    assert raised.value.code == errno.EPROTO


def test_of_a_dump_only_its_own_messages_count():
    made, _ = connection(
        lambda n: [thing(n[0] - 1, flags=INTR) + done(n[0] - 1) + message(1, n[0]) + thing(n[0]) + done(n[0])]
    )
    assert len(made.dump(GET, b"")) == 1


@pytest.mark.parametrize(("failure", "code"), [(OVERRUN, errno.ENOBUFS), (None, errno.ETIMEDOUT)])
def test_a_dump_that_loses_messages_is_an_error_and_the_next_one_has_a_new_socket(failure, code):
    made, sockets = connection(lambda n: [thing(n[0]), *([failure] if failure else [])], lambda n: [done(n[0])])
    with pytest.raises(NetlinkError) as raised:
        made.dump(GET, b"")
    assert (raised.value.code, made.dump(GET, b""), len(sockets)) == (code, [], 2)


def test_the_parts_of_a_dump_that_was_interrupted_are_not_mixed_with_the_next_try():
    made, _ = connection(
        lambda n: [thing(n[0], b"old", INTR), done(n[0])],
        lambda n: [thing(n[0] - 1, b"late"), thing(n[0], b"new"), done(n[0])],
    )
    assert [bytes(payload) for _, payload in made.dump(GET, b"")] == [b"new"]


def test_a_dump_that_is_taken_object_by_object_is_read_once_and_its_end_is_heeded():
    made, (sock,) = connection(
        lambda n: [thing(n[0], b"1", INTR), thing(n[0] - 1, b"late") + thing(n[0], b"2"), done(n[0])],
        lambda n: [thing(n[0], b"3"), done(n[0], code=errno.EINVAL)],
    )
    taken = []
    made.dump_each(GET, b"", lambda one: taken.append(bytes(one[1])))
    assert (taken, len(sock.sent)) == ([b"1", b"2"], 1)
    with pytest.raises(NetlinkError):
        made.dump_each(GET, b"", lambda one: taken.append(bytes(one[1])))
    assert taken == [b"1", b"2", b"3"]


# ------------------------------------------------------- hostile bytes


def hostile(draw, numbers):
    kinds, known = st.sampled_from([1, 2, 3, 4, 16, 17, 0xFFFF]), st.sampled_from([0, *numbers])
    one = st.builds(message, kinds, known, st.binary(max_size=24), st.integers(0, 0xFFFF), st.integers(0, 9))
    parts = [draw(st.one_of(one, st.binary(max_size=40))) for _ in range(draw(st.integers(0, 4)))]
    whole = b"".join(parts)
    return whole[: draw(st.integers(0, len(whole)))] if draw(st.booleans()) else whole


@pytest.mark.slow
@given(st.data())
def test_whatever_comes_every_request_has_an_answer_or_an_error(data):
    count = data.draw(st.integers(1, 3))
    made, _ = connection(lambda n: [hostile(data.draw, n) for _ in range(data.draw(st.integers(0, 5)))])
    answers = made.exchange([REQUEST] * count)
    assert len(answers) == count
    assert all(one is None or isinstance(one, tuple | NetlinkError) for one in answers)


@pytest.mark.slow
@given(st.data())
def test_whatever_comes_a_dump_is_whole_or_an_error(data):
    script = lambda n: [hostile(data.draw, n) for _ in range(data.draw(st.integers(0, 5)))]  # noqa: E731
    made, _ = connection(*[script] * len(DUMP_PAUSES_S))
    try:
        found = made.dump(GET, b"")
    except NetlinkError as error:
        assert error.code
    else:
        assert all(type_ >= 16 for type_, _ in found)
