"""A reload that is asked for while a program starts is kept for it, and for no program that it starts."""

import os
import signal
import subprocess

import pytest

from neod.observability.hang_up import keep_hang_up, take_hang_up


@pytest.fixture(autouse=True)
def handler():
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_what_came_meanwhile_is_sent_again_once():
    keep_hang_up()
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)
    got = []
    signal.signal(signal.SIGHUP, lambda number, frame: got.append(number))
    take_hang_up()
    take_hang_up()
    assert got == [signal.SIGHUP]


def test_a_program_that_is_started_meanwhile_neither_ignores_nor_blocks_it():
    keep_hang_up()
    status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith(("SigBlk", "SigIgn")))
    assert {name for name, mask in masks.items() if int(mask, 16) & 1} == set()
