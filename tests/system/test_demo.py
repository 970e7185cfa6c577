"""The whole demo, as a stranger runs it: what it shows is true, and nothing of it stays behind."""

import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from tests.lab.netns import poll, run

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "demo/out/index.html"
SVG = "{http://www.w3.org/2000/svg}"
HTML = "{http://www.w3.org/1999/xhtml}"
HOSTS = {"campus", "gate", "core", "relay1", "relay2", "server", "web", "proxy"}


def start(**more: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "demo"]
    surroundings = {**os.environ, "PACE": "0", "HOLD": "", **more}
    out = subprocess.PIPE
    return subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, text=True,
                            env=surroundings, start_new_session=True)  # fmt: skip


def left_of(session: int) -> list[str]:
    """Return the processes of a session: everything that the demo started is in its own."""
    return [
        line for line in run("ps", "-eo", "sess=,pid=,args=").stdout.splitlines() if line.split()[0] == str(session)
    ]


def namespaces() -> set[str]:
    """Return the namespaces that are named as the demo names its own, outside of it."""
    return set(run("ip", "netns", "list").stdout.split()) & HOSTS


@pytest.fixture(scope="module")
def played(laboratory):
    """The demo, played to its end: its exit status, words and page."""
    before = namespaces()
    demo = start()
    try:
        said, _ = demo.communicate(timeout=280)
    finally:
        if demo.poll() is None:
            demo.kill()
    return demo, said, before


@pytest.mark.timeout(300)
def test_it_plays_to_its_end_and_leaves_nothing_behind(played):
    demo, said, before = played
    assert demo.returncode == 0, said
    assert "nothing is left: no process, no namespace" in said
    assert "nothing of neo is left" in said
    assert not left_of(demo.pid)
    assert namespaces() == before


@pytest.mark.timeout(300)
def test_many_addresses_are_many_times_as_fast_and_no_byte_is_wrong(played):
    _demo, said, _before = played
    rates = {
        int(number): float(rate)
        for number, rate in re.findall(r"(\d+) address(?:es)? +[█▏▎▍▌▋▊▉]+ +([\d.]+) Mbit/s", said)
    }
    assert set(rates) == {1, 9, 25}
    assert rates[9] > 4 * rates[1], said
    assert rates[25] > 8 * rates[1], said
    assert "from 25 addresses" in said
    assert "every byte compared, never broken" in said


@pytest.mark.timeout(300)
def test_every_sabotage_is_repaired_and_told_with_who_did_it(played):
    _demo, said, _before = played
    told = re.findall(r"(\d+) objects? repaired, ([\d.]+) ms after the kernel told; by: (.*)", said)
    assert len(told) == 5, said
    assert sum("nft[" in who for _count, _ms, who in told) + sum("ip[" in who or "pid" in who for *_x, who in told) >= 3
    assert "DHCPNAK" in said


@pytest.mark.timeout(300)
def test_the_page_is_well_formed_and_shows_every_host_and_every_series(played):
    page = ElementTree.fromstring(PAGE.read_text().removeprefix("<!DOCTYPE html>\n"))
    pictures = list(page.iter(f"{SVG}svg"))
    by_class = [picture for picture in pictures if picture.get("class") == "topology"]
    assert len(by_class) == 3
    for picture in by_class:
        assert {text.text for text in picture.iter(f"{SVG}text")} >= HOSTS
    chart = next(picture for picture in pictures if picture.get("class") == "throughput")
    series = {each.get("id") for each in chart.iter() if each.get("id")}
    names = ["ens3", *(f"neo{number}" for number in range(1, 25)), "relay1", "relay2"]
    assert series == {f"series-{name}" for name in names}
    assert not re.findall(r"(?:src|href)=|url\(|<script|@import", PAGE.read_text())
    assert len(list(page.iter(f"{HTML}tr"))) > 10


@pytest.mark.parametrize(("number", "at"), [(signal.SIGINT, "they listen"), (signal.SIGTERM, "neod &")])
def test_interrupted_in_the_middle_it_leaves_nothing_behind(laboratory, number, at):
    before = namespaces()
    demo = start()
    assert demo.stdout is not None
    try:
        for line in demo.stdout:
            if at in line:
                break
        os.kill(demo.pid, number)
        said = demo.stdout.read()
        status = demo.wait(60)
    finally:
        if demo.poll() is None:
            demo.kill()
    assert status == 128 + number, said
    assert "nothing is left: no process, no namespace" in said
    poll(lambda: not left_of(demo.pid), 10, why="no process is left")
    assert namespaces() == before
    assert not Path("/run/neo-demo").exists()
