"""The way of a frame from the wire into a lease, fed with damaged frames: nothing but Malformed is ever raised.

Runs for ``NEO_FUZZ_S`` seconds (10 by default). As a program, ``python test_fuzz_dhcp.py SECONDS
[SEED]``, it goes on for as long as it is told. A failure prints the frame; put it into ``dhcp_corpus``.
"""

import os
import struct
import sys
import time
from ipaddress import IPv4Network
from pathlib import Path
from random import Random

import pytest

from neod.dhcp import fsm
from neod.dhcp.frame import dhcp_at, parse_arp
from neod.dhcp.packet import OFFER, REQUEST, Malformed, decode
from neod.dhcp.state import Publish, Send, State

pytestmark = pytest.mark.slow

CORPUS = Path(__file__).parent / "dhcp_corpus"
INTERESTING = (0, 1, 2, 3, 4, 5, 6, 50, 51, 52, 53, 54, 61, 121, 127, 128, 254, 255)
OPTIONS = (1, 3, 6, 12, 15, 26, 28, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 82, 121, 255, 0)
PATIENCE_S = 60
CLEAN = frozenset(map(chr, range(32, 127)))


def corpus():
    return [bytes.fromhex(path.read_text()) for path in sorted(CORPUS.glob("*.hex"))]


def mutated(frame, rng):
    """Return *frame* damaged in one to six ways; its checksums are often put right again, or nothing gets far."""
    data = bytearray(frame)
    for _ in range(rng.randint(1, 6)):
        rng.choice(MUTATIONS)(data, rng)
    if rng.random() < 0.9:
        mend(data)
    return bytes(data)


def _flip(data, rng):
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(data, rng):
    if data:
        data[rng.randrange(len(data))] = rng.choice(INTERESTING)


def _cut(data, rng):
    if data:
        del data[rng.randrange(len(data)) :]


def _take_out(data, rng):
    if data:
        at = rng.randrange(len(data))
        del data[at : at + rng.randint(1, 16)]


def _double(data, rng):
    if data:
        at = rng.randrange(len(data))
        data[at:at] = data[at : at + rng.randint(1, 64)]


def _put_in(data, rng):
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.randint(1, 32))


def _put_in_option(data, rng):
    value = rng.randbytes(rng.choice((0, 1, 2, 3, 4, 4, 4, 5, 8, 9, 40, 255)))
    length = len(value) if rng.random() < 0.8 else rng.randrange(256)
    option = bytes((rng.choice(OPTIONS), length)) + value
    at = rng.choice((282, 282, 285, len(data), 42 + 44, 42 + 108))
    data[at:at] = option


def _change_option(data, rng):
    """Change the value of an option where it stands, so that the message stays whole."""
    at, places = 282, []
    while at + 1 < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        places.append((at + 2, data[at + 1]))
        at += 2 + data[at + 1]
    if places:
        start, length = rng.choice(places)
        data[start : start + length] = rng.randbytes(length)[: max(0, len(data) - start)]


def _overload(data, rng):
    """Move options into the sname and file fields."""
    if len(data) > 290:
        field = bytearray(rng.randbytes(192))
        for at in range(0, 180, rng.randint(3, 40)):
            field[at] = rng.choice(OPTIONS)
            field[at + 1] = rng.randrange(12)
        data[86:278] = field
        data[282:282] = bytes((52, 1, rng.randrange(5)))


MUTATIONS = (_flip, _set, _cut, _take_out, _double, _put_in, _put_in_option, _put_in_option, _change_option, _overload)


def mend(data):
    """Set the lengths of the IP and UDP headers, and their checksums (none for UDP)."""
    if len(data) < 42 or data[12:14] != b"\x08\x00":
        return
    data[14] = 0x45
    data[16:18] = struct.pack("!H", min(0xFFFF, len(data) - 14))
    data[20:22] = b"\0\0"
    data[23] = 17
    data[36:42] = struct.pack("!HHH", 68, min(0xFFFF, len(data) - 34), 0)
    data[24:26] = b"\0\0"
    total = sum(struct.unpack("!10H", data[14:34]))
    total = (total & 0xFFFF) + (total >> 16)
    data[24:26] = struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)


def swallow(frame, rng):
    """Take *frame* the whole way in; return how far it came."""
    parse_arp(frame)
    bounds = dhcp_at(frame)
    if bounds is None:
        return "frame"
    try:
        reply = decode(frame[bounds[0] : bounds[1]])
    except Malformed:
        return "packet"
    for words in (reply.domain(), reply.text()):
        assert CLEAN.issuperset(words)
    assert reply.chaddr is not None and len(reply.chaddr) == 6
    assert all(IPv4Network(destination) for destination, _ in reply.routes())
    for lease in leases_from(reply, rng):
        assert lease.bound_at < lease.renew_at <= lease.rebind_at <= lease.expires_at
        assert lease.expires_at - lease.bound_at >= 10
        assert 1 <= lease.prefix_length <= 32
    return "lease"


def leases_from(reply, rng):
    """Take *reply* for an answer to a DISCOVER, and for one to a REQUEST; yield what comes to be published."""
    now = 1000.0
    state, _ = fsm.start(State("m1"), now, rng)
    state, actions = fsm.timer(state, now, rng)
    state, actions = fsm.received(state._replace(xid=reply.xid), reply, b"\2\0\0\0\0\1", now, rng)
    if reply.type == OFFER:
        assert [action.request.type for action in actions if isinstance(action, Send)] == [REQUEST]
    state, _ = fsm.start(State("m1"), now, rng, held=reply.yiaddr)
    state, _ = fsm.timer(state, now, rng)
    state, actions = fsm.received(state._replace(xid=reply.xid), reply, b"\2\0\0\0\0\1", now, rng)
    yield from (action.lease for action in actions if isinstance(action, Publish))


def fuzz(seconds, seed, least=0):
    """Damage frames for so long, longer if not more than *least* came to each stage; return how many came how far."""
    rng, frames, came = Random(seed), corpus(), {"frame": 0, "packet": 0, "lease": 0}
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end or (min(came.values()) <= least and now < end + PATIENCE_S):
        for _ in range(200):
            frame = mutated(rng.choice(frames), rng)
            try:
                came[swallow(frame, rng)] += 1
            except BaseException:
                print(f"seed {seed}: {frame.hex()}", file=sys.stderr)
                raise
    return came


def test_recorded_frames_of_real_servers_are_understood():
    rng = Random(1)
    dhcp = [path for path in sorted(CORPUS.glob("*.hex")) if "probe" not in path.name]
    assert len(dhcp) >= 6, "OFFER, ACK and NAK of two servers"
    for path in dhcp:
        assert swallow(bytes.fromhex(path.read_text()), rng) == "lease", path.name


@pytest.mark.slow
def test_no_damaged_frame_is_an_error():
    seed = int(os.environ.get("NEO_FUZZ_SEED", "0")) or Random().getrandbits(32)
    came = fuzz(float(os.environ.get("NEO_FUZZ_S", "10")), seed, least=100)
    assert all(count > 100 for count in came.values()), f"the damage reaches every stage: {came}, seed {seed}"


if __name__ == "__main__":
    print(fuzz(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
