"""Programs whose output is ASCII, closed, a pipe without a reader, or a full disk: they say what they can and go on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = ["neod", "neodctl", "neo-race"]
ASCII = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


def command(program, *words):
    return [str(Path(sys.executable).with_name(program)), *words]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("word", ["--help", "--version"])
def test_in_ascii_a_character_is_replaced(program, word):
    done = subprocess.run(command(program, word), env=ASCII, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("word", ["--help", "--version"])
def test_output_that_nobody_takes_is_no_traceback(program, word):
    reader, writer = os.pipe()
    os.close(reader)
    for redirection in ("", "1>&-", "1>&- 2>&-", "1>/dev/full"):
        script = f"exec {' '.join(command(program, word))} {redirection}"
        done = subprocess.run(["sh", "-c", script], env=ASCII, stdout=writer, stderr=subprocess.PIPE, check=False)
        assert b"Traceback" not in done.stderr, redirection
        assert b"Exception ignored" not in done.stderr, redirection
        assert done.returncode in (0, 70, 74, 141), redirection
    os.close(writer)


@pytest.mark.parametrize("closed", ["0<&-", "0<&- 1>&-", "0<&- 1>&- 2>&-", "1>&-", "2>&-"])
def test_no_file_that_is_opened_takes_the_place_of_a_closed_stream(closed):
    script = """
import os
from neod.observability.streams import tolerate
tolerate()
opened = os.open("/", os.O_RDONLY)
os.write(1, b"")
os.write(2, b"")
assert opened > 2 and os.read(0, 1) == b""
"""
    argv = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script]
    assert subprocess.run(argv, stdin=subprocess.DEVNULL, check=False).returncode == 0


def test_a_file_with_an_error_in_unicode_is_told_in_ascii(tmp_path):
    file = tmp_path / "neo.toml"
    file.write_text('[races.r]\nlisten = "ü→"\nupstreams = ["→:1"]\n')
    for program in ("neo-race", "neod"):
        words = ["--config", str(file), *(["--runtime-dir", str(tmp_path)] if program == "neo-race" else [])]
        done = subprocess.run(command(program, *words), env=ASCII, capture_output=True, check=False, cwd=tmp_path)
        assert b"races.r.listen" in done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("style", ["json", "console", "journal"])
def test_a_log_whose_reader_has_left_ends_nothing(style):
    script = f"""
import os
from neod.observability.logs import configure
from neod.observability.streams import tolerate
tolerate()
log = configure("info", "{style}")
log.info("\\u2192 one", what="\\u00fc")
reader, writer = os.pipe()
os.close(reader)
os.dup2(writer, 2)
for _ in range(3):
    log.info("two", what="\\u2192")
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", script], env=ASCII, capture_output=True, check=False)
    assert done.stdout == b"alive\n", done.stderr
    assert b"one" in done.stderr
