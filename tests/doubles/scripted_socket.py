"""A socket that answers what a test wants, and messages packed without the codec that is tested."""

import struct

HEADER = struct.Struct("=IHHII")
ERROR, DONE, CAPPED, TLVS, INTR = 2, 3, 0x100, 0x200, 0x10


def message(type_, number, payload=b"", flags=0, port=0):
    return HEADER.pack(16 + len(payload), type_, flags, number, port) + payload + bytes(-len(payload) % 4)


def explained(text):
    """An extended ack, as attributes."""
    data = text.encode() + b"\0"
    return struct.pack("=HH", 4 + len(data), 1) + data + bytes(-len(data) % 4)


def ack(number, code=0, text=""):
    body = struct.pack("=i", -code) + bytes(16)
    return message(ERROR, number, body + (explained(text) if text else b""), CAPPED | (TLVS if text else 0))


def done(number, flags=0, code=0, text=""):
    body = struct.pack("=i", -code) + (explained(text) if text else b"")
    return message(DONE, number, body, flags | (TLVS if text else 0))


def split(data):
    """Return ``(type, flags, number, payload)`` of every message of a datagram."""
    found, offset = [], 0
    while offset < len(data):
        length, type_, flags, number, _ = HEADER.unpack_from(data, offset)
        found.append((type_, flags, number, bytes(data[offset + 16 : offset + length])))
        offset += (length + 3) & ~3
    return found


class ScriptedSocket:
    """Answers each send with the next script: a function of the sequence numbers that were sent.

    A script returns what ``recv`` gives, in order: datagrams, or errors to raise. After that nothing comes.
    """

    def __init__(self, scripts):
        self.scripts, self.queue, self.sent, self.closed = scripts, [], [], False

    def setsockopt(self, *_): ...
    def setblocking(self, _): ...
    def getsockname(self):
        return (4711, 0)

    def close(self):
        self.closed = True

    def send(self, data):
        assert not self.closed
        self.sent.append(split(data))
        self.queue += self.scripts.pop(0)([number for _, _, number, _ in self.sent[-1]])

    def recv(self, _):
        if not self.queue:
            raise BlockingIOError(11, "Resource temporarily unavailable")  # what SO_RCVTIMEO ends in
        answer = self.queue.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


def scripted(*scripts):
    """Return an opener of sockets that share *scripts*, and the list of those it opened."""
    sockets, scripts = [], list(scripts)

    def opener(*_):
        sockets.append(ScriptedSocket(scripts))
        return sockets[-1]

    return opener, sockets
