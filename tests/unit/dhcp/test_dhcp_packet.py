"""The codec: what is well-formed is read, whatever is not is dropped whole."""

from ipaddress import IPv4Address

import pytest
from tests.doubles.dhcp_messages import IP, MAC, SERVER, address, answer, message, standard, tlv

from neod.dhcp.packet import (
    ACK,
    DECLINE,
    DISCOVER,
    DNS,
    NAK,
    OFFER,
    REQUEST,
    Malformed,
    Request,
    classless_routes,
    decode,
    encode,
)


def options_of(data):
    """Read a message's options the slow way."""
    found, at = {}, 240
    while data[at] != 255:
        if data[at]:
            found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
            at += data[at + 1] + 1
        at += 1
    return found


def test_an_ack_is_read():
    reply = decode(answer(ACK, xid=0xDEADBEEF, o6=address("10.0.0.53") + address("10.0.0.54"), o15=b"campus.example"))
    assert (reply.type, reply.xid, reply.chaddr, reply.yiaddr, reply.server) == (ACK, 0xDEADBEEF, MAC, IP, SERVER)
    assert reply.number(51) == 3600
    assert reply.number(58) is None
    assert reply.addresses(DNS) == (IPv4Address("10.0.0.53"), IPv4Address("10.0.0.54"))
    assert reply.domain() == "campus.example"


def test_a_nak_needs_no_address():
    reply = decode(answer(NAK, ip=0, o51=None, o1=None, o3=None, o56=b"wrong network"))
    assert (reply.type, reply.yiaddr, reply.text()) == (NAK, 0, "wrong network")


BROKEN = {
    "empty": b"",
    "only a header": answer(ACK)[:240],
    "a request": message(standard(ACK) + b"\xff", op=1),
    "token ring": message(standard(ACK) + b"\xff", htype=6),
    "a hardware address of 5 bytes": message(standard(ACK) + b"\xff", hlen=5),
    "a hardware address of 16 bytes": message(standard(ACK) + b"\xff", hlen=16),
    "no cookie": message(standard(ACK) + b"\xff", magic=b"\x63\x82\x53\x62"),
    "no message type": answer(ACK, o53=None),
    "an empty message type": answer(ACK, o53=b""),
    "a message type of two bytes": answer(ACK, o53=b"\x05\x05"),
    "a DISCOVER": answer(DISCOVER),
    "a FORCERENEW": answer(9),
    "an OFFER without a server identifier": answer(OFFER, o54=None),
    "a NAK without a server identifier": answer(NAK, ip=0, o54=None),
    "an OFFER of server 0.0.0.0": answer(OFFER, o54=bytes(4)),
    "an OFFER with a server identifier of three bytes": answer(OFFER, o54=b"\x0a\0\0"),
    "an ACK without an address": answer(ACK, ip=0),
    "a loopback address": answer(ACK, ip=0x7F000001),
    "a multicast address": answer(OFFER, ip=0xE0000001),
    "the broadcast address": answer(OFFER, ip=0xFFFFFFFF),
    "network 0": answer(OFFER, ip=5),
    "a lease time of two bytes": answer(ACK, o51=b"\0\x10"),
    "an offered lease time of five bytes": answer(OFFER, o51=bytes(5)),
    "the client identifier of another": answer(ACK, o61=b"\x01\x02\x4e\0\0\0\x02"),
}

LEFT_OUT = {
    "a mask of three bytes": (1, {"o1": b"\xff\xff\xff"}),
    "a router of five bytes": (3, {"o3": b"\x0a\0\0\x01\0"}),
    "an empty router": (3, {"o3": b""}),
    "DNS of three bytes": (6, {"o6": b"\x0a\0\0"}),
    "an MTU of four bytes": (26, {"o26": bytes(4)}),
    "T1 of one byte": (58, {"o58": b"\1"}),
    "T2 of five bytes": (59, {"o59": bytes(5)}),
    "an empty client identifier": (61, {"o61": b""}),
    "a domain with a line feed": (15, {"o15": b"a\nb"}),
    "no classless route": (121, {"o121": b""}),
    "a route over 32 bits": (121, {"o121": b"\x21\x0a\0\0\0\x0a\0\0\x01"}),
    "a route cut off": (121, {"o121": b"\x18\x0a\0\0\x0a\0\0"}),
    "overload 0": (52, {"o52": b"\0"}),
    "overload 4": (52, {"o52": b"\x04"}),
    "overload of two bytes": (52, {"o52": b"\x01\x01"}),
}

CUT_OFF = {
    "an option without a length": b"\x0c",
    "an option longer than the message": bytes((12, 200)) + b"x" * 20,
    "a router cut off": bytes((3, 4, 10, 0)),
    "the option of 255 bytes at the end": bytes((43, 255)),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_malformed_is_dropped_whole(data):
    with pytest.raises(Malformed):
        decode(data)


@pytest.mark.parametrize("kind", [OFFER, ACK])
@pytest.mark.parametrize(("code", "changes"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_a_malformed_optional_option_is_left_out_and_named_and_costs_nothing_else(kind, code, changes):
    reply = decode(answer(kind, **changes))
    assert (reply.type, reply.yiaddr, reply.number(51)) == (kind, IP, 3600)
    assert code not in reply.options
    assert list(reply.malformed) == [code]


@pytest.mark.parametrize("tail", CUT_OFF.values(), ids=CUT_OFF.keys())
def test_what_stands_before_an_option_that_is_cut_off_is_read(tail):
    options = standard(ACK, o3=None) + tail
    for data in (
        message(options),
        message(standard(ACK, o3=None, o52=b"\x01") + b"\xff", file=b"\0" * (128 - len(tail)) + tail),
        message(standard(ACK, o3=None, o52=b"\x02") + b"\xff", sname=b"\0" * (64 - len(tail)) + tail),
    ):
        reply = decode(data)
        assert (reply.number(51), reply.addresses(3), list(reply.malformed)) == (3600, (), [tail[0]])


def test_an_option_of_a_fixed_size_counts_as_it_is_said_first():
    again = tlv(53, b"\x02") + tlv(51, bytes(4)) + tlv(54, b"junk") + bytes((1, 99))
    reply = decode(message(standard(ACK) + again + b"\xff"))
    assert (reply.type, reply.number(51), reply.server, reply.number(1)) == (ACK, 3600, SERVER, 0xFFFF0000)


def test_an_option_of_a_fixed_size_may_come_in_pieces():
    reply = decode(message(standard(ACK, o51=None) + tlv(51, b"\0\0") + tlv(51, b"\x0e\x10") + b"\xff"))
    assert reply.number(51) == 3600


@pytest.mark.parametrize("o54", [None, bytes(4), b"\xff" * 4, b"\x0a\0\0"])
def test_an_ack_need_not_say_its_server(o54):
    assert decode(answer(ACK, o54=o54)).server == 0


def test_a_route_into_the_overload_of_an_overload_is_not_followed():
    data = message(
        standard(ACK, o3=None, o52=b"\x01") + b"\xff", file=tlv(52, b"\x02"), sname=tlv(3, address("10.9.9.9"))
    )
    assert decode(data).addresses(3) == ()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (answer(OFFER, o54=None), "OFFER with no option 54"),
        (answer(ACK, o51=b"1"), "ACK with option 51 of 1 bytes, not 4"),
        (answer(ACK, ip=0), "ACK of 0.0.0.0, which no host can have"),
        (answer(ACK, o53=b"\x05\x05"), "option 53 of 2 bytes, not 1"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(data, words):
    with pytest.raises(Malformed, match=words):
        decode(data)


def test_our_own_client_identifier_may_come_back():
    assert decode(answer(ACK, o61=b"\x01" + MAC)).type == ACK


def test_a_missing_end_option_is_forgiven_where_the_options_end_exactly():
    assert decode(message(standard(ACK))).number(51) == 3600


def test_padding_between_options_is_skipped():
    assert decode(message(b"\0\0\0" + standard(ACK) + b"\0" * 40 + tlv(26, b"\x05\xdc") + b"\xff")).number(26) == 1500


def test_an_option_in_pieces_is_put_together():
    pieces = tlv(3, address("10.77.0.1")) + tlv(3, address("10.77.0.2")[:1]) + tlv(3, address("10.77.0.2")[1:])
    reply = decode(message(standard(ACK, o3=None) + pieces + b"\xff"))
    assert reply.addresses(3) == (IPv4Address("10.77.0.1"), IPv4Address("10.77.0.2"))


def test_overloaded_fields_are_read_file_first():
    """RFC 3396 orders the pieces: options, then file, then sname."""
    reply = decode(
        message(
            standard(ACK, o3=None, o52=b"\x03") + b"\xff",
            file=tlv(3, address("10.77.0.1")) + b"\xff" + b"junk" * 5,
            sname=tlv(3, address("10.77.0.2")) + b"\xff",
        )
    )
    assert reply.addresses(3) == (IPv4Address("10.77.0.1"), IPv4Address("10.77.0.2"))


def test_fields_that_are_not_overloaded_are_not_read():
    assert decode(message(standard(ACK, o3=None) + b"\xff", file=tlv(3, address("10.9.9.9")))).addresses(3) == ()


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        pytest.param(b"campus.example", "campus.example", id="a name"),
        pytest.param(b"campus.example\0", "campus.example", id="a trailing NUL"),
        pytest.param(b"a\nb", "", id="a line feed"),
        pytest.param(b"\x1b[31m", "", id="an escape sequence"),
        pytest.param(b"$(reboot)", "", id="a shell's substitution"),
        pytest.param("ü".encode(), "", id="not ASCII"),
        pytest.param(b"x" * 254, "", id="longer than a name can be"),
        pytest.param(b"", "", id="empty"),
    ],
)
def test_only_a_clean_domain_gets_through(value, domain):
    assert decode(answer(ACK, o15=value)).domain() == domain


@pytest.mark.parametrize("byte", [0, 9, 10, 13, 27, 127, 155, 255])
def test_no_control_byte_gets_through_in_a_servers_words(byte):
    assert decode(answer(NAK, ip=0, o56=b"no " + bytes((byte,)) + b"x")).text() == ""


def test_classless_routes_are_read():
    value = b"\x00\x0a\0\0\x01" + b"\x18\xc0\xa8\x05\x0a\0\0\x02" + b"\x20\x01\x02\x03\x04\x0a\0\0\x03"
    value += b"\x09\x0a\xff\x0a\0\0\x04"  # host bits set: cut off
    assert classless_routes(value) == (
        ("0.0.0.0/0", IPv4Address("10.0.0.1")),
        ("192.168.5.0/24", IPv4Address("10.0.0.2")),
        ("1.2.3.4/32", IPv4Address("10.0.0.3")),
        ("10.128.0.0/9", IPv4Address("10.0.0.4")),
    )


def test_a_discover_is_what_the_rfc_asks_for():
    data = encode(Request(DISCOVER, 0x01020304, secs=3, requested=IP, broadcast=True), MAC)
    assert data[:8] == b"\x01\x01\x06\x00\x01\x02\x03\x04"
    assert data[8:12] == b"\x00\x03\x80\x00"
    assert data[12:28] == bytes(16), "no address is known yet"
    assert data[28:44] == MAC + bytes(10)
    assert data[44:236] == bytes(192)
    assert data[236:240] == b"\x63\x82\x53\x63"
    options = options_of(data)
    assert options[53] == b"\x01"
    assert options[61] == b"\x01" + MAC
    assert options[50] == IP.to_bytes(4, "big")
    assert 54 not in options
    assert list(options[55]).index(121) < list(options[55]).index(3), "RFC 3442"
    assert len(data) >= 300


def test_a_confirmation_names_server_and_address_a_renewal_neither():
    selected = options_of(encode(Request(REQUEST, 1, requested=IP, server=SERVER), MAC))
    assert (selected[50], selected[54]) == (IP.to_bytes(4, "big"), SERVER.to_bytes(4, "big"))
    renewal = encode(Request(REQUEST, 1, ciaddr=IP), MAC)
    assert renewal[12:16] == IP.to_bytes(4, "big")
    assert renewal[10:12] == b"\0\0", "no broadcast flag"
    assert not {50, 54} & options_of(renewal).keys()


def test_a_decline_says_only_what_it_must():
    options = options_of(encode(Request(DECLINE, 1, requested=IP, server=SERVER), MAC))
    assert options.keys() == {53, 61, 50, 54}


def test_seconds_do_not_overflow_their_field():
    assert encode(Request(DISCOVER, 1, secs=1 << 20), MAC)[8:10] == b"\xff\xff"
