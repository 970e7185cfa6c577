"""Plays a scenario line by line, and says of the first line that does not hold what was expected and what was seen."""

import json
import re
import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from string import Template
from typing import Any

from tests.lab.host import Answer
from tests.system.scenarios.script import Line, Script, for_stage
from tests.system.scenarios.stage import Refused, Stage

PATIENCE_S = 15.0
"""How long an expectation may take to come true, unless its line says ``within``."""

WHO = r"{}\[\d+\]$|pid \d+ \(ended\)$"
"""The kernel tells the process; its name is known only while it lives, and ip does not live long."""


class Failed(Exception):
    """A line that does not hold."""

    def __init__(self, line: Line, expected: str, seen: str, story: str) -> None:
        super().__init__(f"{line}\n\nexpected  {expected}\nseen      {_indented(seen)}\n\n{story}")


class Unmet(Exception):
    """What was expected and what was seen instead."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(expected)
        self.expected, self.seen = expected, seen


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n          ") or "(nothing)"


class Play:
    """One scenario on one stage."""

    def __init__(self, script: Script, name: str, stage: Stage) -> None:
        self._script, self._name, self._stage = script, name, stage
        self._answer = Answer(0, "", "")
        self._before: dict[str, Any] = {}

    def play(self) -> None:
        """Play to the end.

        Raises:
            Failed: a line does not hold.
        """
        for line in for_stage(self._script, self._name):
            self.line(line)

    def line(self, line: Line) -> None:
        """Play one line.

        Raises:
            Failed: it does not hold.
        """
        try:
            self._line(line.text)
        except Unmet as unmet:
            raise Failed(line, unmet.expected, unmet.seen, self._story()) from None
        except (Refused, RuntimeError, TimeoutError, OSError) as error:
            raise Failed(line, "this can be done", str(error), self._story()) from error

    def _line(self, text: str) -> None:
        text = Template(text).safe_substitute(self._stage.variables())
        word, _, rest = text.partition(" ")
        verb: Callable[[str], None] | None = getattr(self, f"_do_{word}", None)
        if verb is None:
            raise Unmet("a word of the vocabulary in tests/system/scenarios/README.md", word)
        verb(rest.strip())

    def _story(self) -> str:
        """Return what neod tells of itself: status, the last events, its log."""
        told = []
        for title, argv in (("status", ("status",)), ("events", ("events",))):
            with suppress(Exception):  # a story that cannot be told must not hide the failure
                lines = self._stage.ctl(*argv).out.splitlines()
                told.append(f"── {title} ──\n" + "\n".join(lines[-25:]))
        return "\n".join([*told, f"── log ──\n{self._stage.tail()}"])

    # ── what is done ────────────────────────────────────────────────────────────────────────────

    def _do_host(self, name: str) -> None:
        self._stage.host(name)

    def _do_file(self, name: str) -> None:
        if name not in self._script.files:
            raise Unmet(f"a section -- {name} -- in this scenario", ", ".join(self._script.files))
        self._stage.file(Template(self._script.files[name]).safe_substitute(self._stage.variables()))

    def _do_start(self, rest: str) -> None:
        self._stage.start()
        ended = self._stage.ended()
        wanted = re.fullmatch(r"fails with (\d+)", rest)
        if wanted is None and ended is not None:
            raise Unmet("neod runs", f"exit {ended[0]}: {ended[1]}")
        if wanted is not None:
            if ended is None or ended[0] != int(wanted[1]):
                raise Unmet(
                    f"neod ends with {wanted[1]}", "it runs" if ended is None else f"exit {ended[0]}: {ended[1]}"
                )
            self._answer = Answer(ended[0], ended[1], "")

    def _do_stop(self, _: str) -> None:
        self._stage.stop()

    def _do_kill(self, rest: str) -> None:
        if rest != "-9 neod":
            raise Refused("only `kill -9 neod`")
        self._stage.kill()

    def _do_run(self, command: str) -> None:
        self._answer = Answer(0, self._stage.run(command), "")

    def _do_lan(self, command: str) -> None:
        self._stage.lan(command)

    def _do_carrier(self, state: str) -> None:
        self._stage.carrier({"up": True, "down": False}[state])

    def _do_dhcp(self, rest: str) -> None:
        word, _, value = rest.partition(" ")
        self._stage.dhcp(word, value)

    def _do_neodctl(self, rest: str) -> None:
        self._ctl(rest, 0)

    def _do_fails(self, rest: str) -> None:
        wanted = re.fullmatch(r"with (\d+): neodctl (.*)", rest)
        if wanted is None:
            raise Refused("`fails with STATUS: neodctl …`")
        self._ctl(wanted[2], int(wanted[1]))

    def _ctl(self, words: str, status: int) -> None:
        self._answer = answer = self._stage.ctl(*shlex.split(words))
        if answer.status != status:
            raise Unmet(f"exit status {status}", f"{answer.status}\n{answer.out}{answer.err}")

    def _do_remember(self, _: str) -> None:
        self._before = {whose: self._stage.holds(whose) for whose in ("owned", "foreign")}

    def _do_watch(self, _: str) -> None:
        self._stage.watch()

    def _do_wrote(self, _: str) -> None:
        if written := self._stage.written():
            raise Unmet("nothing was written", "\n".join(written))

    # ── what is expected ────────────────────────────────────────────────────────────────────────

    def _do_says(self, text: str) -> None:
        said = " ".join((self._answer.out + self._answer.err).split())
        if text not in said:
            raise Unmet(f"the last answer says: {text}", self._answer.out + self._answer.err)

    def _do_never(self, rest: str) -> None:
        text = rest.removeprefix("says ")
        if text in " ".join((self._answer.out + self._answer.err).split()):
            raise Unmet(f"the last answer does not say: {text}", self._answer.out + self._answer.err)

    def _do_within(self, rest: str) -> None:
        span, _, what = rest.partition(" expect ")
        self._expect(what, float(span.removesuffix("s")))

    def _do_expect(self, rest: str) -> None:
        self._expect(rest, PATIENCE_S)

    def _expect(self, what: str, patience_s: float) -> None:
        for pattern, check in _EXPECTATIONS:
            if found := re.fullmatch(pattern, what):
                return self._until(patience_s, partial(check, self, *found.groups()))
        raise Unmet("an expectation of the vocabulary in tests/system/scenarios/README.md", what)

    @staticmethod
    def _until(patience_s: float, check: Callable[[], None]) -> None:
        """Check until it holds, or the last time raises."""
        end = time.monotonic() + patience_s
        while True:
            try:
                return check()
            except Unmet:
                if time.monotonic() > end:
                    raise
            time.sleep(0.05)

    def _converged(self) -> None:
        answer = self._stage.ctl("wait", "--timeout", "1s")
        if answer.status:
            raise Unmet("neodctl wait ends with 0", f"{answer.status}\n{answer.out}{answer.err}")
        if problems := self._stage.problems():
            raise Unmet("the kernel holds what the file says", "\n".join(problems[:12]))

    def _shown(self, command: str, how: str, text: str) -> None:
        try:
            shown = " ".join(self._stage.run(command).split())
        except RuntimeError as error:  # not there yet: a file, a namespace
            raise Unmet(f"{command} succeeds", str(error)) from None
        if (text in shown) != (how == "has"):
            raise Unmet(f"{command} {'shows' if how == 'has' else 'does not show'}: {text}", shown)

    def _phase(self, name: str, phase: str) -> None:
        name = name.replace("_", " ")  # keys of rules have blanks
        answer = self._stage.ctl("why", name, "--json")
        seen = "absent" if answer.status == 10 else answer.json["phase"] if answer.status in (0, 1) else answer.err
        if answer.status in (0, 1) and answer.json["observed"] is None and seen == "foreign":
            seen = "absent"
        if seen != phase:
            raise Unmet(f"{name} is {phase}", f"{seen}\n{answer.out}")

    def _status(self, word: str) -> None:
        heading = self._stage.ctl("status").out.partition("\n")[0]
        if f"neod {word}" not in heading:
            raise Unmet(f"neodctl status begins with: neod {word}", heading)

    def _event(self, what: str, name: str, by: str | None) -> None:
        rows = [json.loads(line) for line in self._stage.ctl("events", "--json").out.splitlines()]
        what, name = what.replace("_", " "), name.replace("_", " ")
        makers = [row["by"] for row in rows if (row["what"], row["object"]) == (what, name)]
        if not any(by is None or re.match(WHO.format(by), maker) for maker in makers):
            told = "\n".join(f"{row['what']} {row['object']} {row['by']}" for row in rows[-20:])
            raise Unmet(f"an event: {what} {name}" + (f" by {by}" if by else ""), told)

    def _same(self, whose: str | None, but: str | None) -> None:
        whose = whose or "owned"
        lines = self._stage.difference(self._before[whose], self._stage.holds(whose))
        if but is not None:
            lines = [line for line in lines if but not in line]
        if lines:
            raise Unmet(f"what is {whose} is as it was", "\n".join(lines))

    def _traffic(self, no: str | None, through: str) -> None:
        got = self._stage.reaches(through)
        if (got == "hello") != (no is None):
            raise Unmet(f"{no or ''}answer through {through}", got)


_EXPECTATIONS: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"converged", Play._converged),
    (r"`([^`]+)` (has|lacks) (.+)", Play._shown),
    (r"(\S+) is ([a-z-]+)", Play._phase),
    (r"status (\w+)", Play._status),
    (r"event (\w+) (\S+)(?: by (\S+))?", Play._event),
    (r"same(?: (owned|foreign))?(?: but (\S+))?", Play._same),
    (r"(no )?answer through (\w+)", Play._traffic),
)
