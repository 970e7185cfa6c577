"""Whatever is in the file, reading it ends with intents or with a ConfigError."""

import random
from pathlib import Path

import pytest

from neod.config.load import load
from neod.kinds import KINDS
from neod.model.errors import ConfigError
from neod.model.facts import Host
from neod.model.want import FactKey
from neod.reconcile.desired import DesiredState

SAMPLE = Path(__file__).with_name("sample.toml").read_bytes()
GOLDEN = Path(__file__).with_name("errors.txt").read_bytes()
LINES = [line for line in (SAMPLE + GOLDEN).split(b"\n") if line and not line.startswith((b"neo.toml", b"==="))]
BITS = [b'"', b"'", b"[", b"]", b"{", b"}", b"=", b".", b"#", b"\n", b"\\", b"\x00", b"\xff", b"-", b"0", b"99999999"]
HOST = {FactKey("host"): Host("x")}
ROUNDS, EACH = 20, 500


def mutated(rng):
    text = bytearray(SAMPLE)
    for _ in range(rng.randint(1, 4)):
        where = rng.randrange(len(text) + 1)
        match rng.randrange(6):
            case 0:
                text[where:where] = rng.choice(BITS)
            case 1:
                del text[where : where + rng.randint(1, 30)]
            case 2:
                del text[where:]
            case 3:
                text[where : where + 1] = bytes([rng.randrange(256)])
            case 4:
                text[where:where] = b"\n" + rng.choice(LINES) + b"\n"
            case 5:
                start = rng.randrange(len(text) + 1)
                text[where:where] = text[start : start + rng.randint(1, 60)]
    return bytes(text)


def outcome(file):
    try:
        return load(file, {})
    except ConfigError as error:
        return error.problems


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_mutated_file_is_right_or_a_config_error(tmp_path, seed):
    rng = random.Random(seed)
    file = tmp_path / "neo.toml"
    right = 0
    for _ in range(EACH):
        file.write_bytes(mutated(rng))
        found = outcome(file)
        if isinstance(found, tuple):
            assert found
            assert all(line.isprintable() for line in found)
        else:
            right += 1
            DesiredState(KINDS).replace(found.fragments, HOST)
    assert 0 < right < EACH


@pytest.mark.slow
def test_a_truncated_file_is_right_or_a_config_error(tmp_path):
    file = tmp_path / "neo.toml"
    for length in range(len(SAMPLE)):
        file.write_bytes(SAMPLE[:length])
        found = outcome(file)
        assert found if isinstance(found, tuple) else found.fragments or length < SAMPLE.index(b"table")
