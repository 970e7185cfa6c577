"""The file in use: read again, kept as the last good one, and undone when nobody confirms it.

What is needed to undo a reload is on disk before the reload takes effect: the
promise to come back holds over kill -9 and reboot.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Final

from neod.config.reader import FileReader
from neod.control.errors import FileInvalid, NothingToConfirm
from neod.features.intents import Intents
from neod.kernel.files import StateDirectory, set_aside, write_atomically
from neod.model.errors import ConfigError, ReadingFailed
from neod.model.ports import Clock

if TYPE_CHECKING:
    from subprocess import Popen


SAVE_AGAIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """The file, read and compiled."""

    intents: Intents
    text: bytes
    wall: float  # when

    @property
    def digest(self) -> str:
        """Return what tells this text from another."""
        return sha256(self.text).hexdigest()


class ConfigStore:
    """Reads the file and remembers what was good.

    ``problems`` is not empty while the file on disk cannot be used and an older one is in force.
    """

    def __init__(
        self,
        path: Path,
        files: StateDirectory,
        clock: Clock,
        revert: Callable[[Intents], None],
        reader: FileReader | None = None,
    ) -> None:
        self.path, self._clock, self._revert = path, clock, revert
        self._reader = reader or FileReader()
        self._files, self._good, self._trial = files, files.file("last-good.toml"), files.path / "unconfirmed"
        self.problems: tuple[str, ...] = ()
        self.unconfirmed = False  # what is wrong with the file on disk is only that nobody confirmed it
        self.current: LoadedConfig | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._before: LoadedConfig | None = None
        self._rolled_back = False

    async def read(self, path: Path | None = None) -> LoadedConfig:
        """Return what the file says now.

        Raises:
            FileInvalid: it cannot be used; the file in force stays.
        """
        target = path or self.path
        try:
            intents = await self._reader.read(str(target))
            return LoadedConfig(intents, target.read_bytes(), self._clock.wall())
        except ConfigError as error:
            if path is None:
                self.problems, self.unconfirmed = error.problems, False
            raise FileInvalid(error.problems, error.lines) from error
        except OSError as error:
            raise FileInvalid((f"{target}: {error.strerror or error}",)) from error

    def use(self, loaded: LoadedConfig) -> None:
        """Make *loaded* the file in force, and the one to fall back to."""
        self.current, self.problems, self.unconfirmed = loaded, (), False
        self._good.save(loaded.text)

    @property
    def degraded(self) -> tuple[str, ...]:
        """Return what is wrong with files of the state directory."""
        return tuple(self._files.problems)

    async def save_again(self) -> None:
        """Write every few seconds what could not be written, for ever."""
        while True:
            await asyncio.sleep(SAVE_AGAIN_S)
            if self._files.problems:
                await asyncio.to_thread(self._files.save_again)

    def line(self, number: int) -> str:
        """Return one line of the file in force, from 1; empty where there is none."""
        lines = self.current.text.decode("utf-8", "replace").splitlines() if self.current else []
        return lines[number - 1] if 0 < number <= len(lines) else ""

    @property
    def trial_left_s(self) -> float | None:
        """Return the seconds until an unconfirmed reload is undone; None when none waits."""
        return None if self._timer is None else max(0.0, self._deadline - self._clock.boottime())

    def try_out(self, loaded: LoadedConfig, confirm_s: float) -> None:
        """Use *loaded*, but go back to the one in force unless ``confirm`` comes within *confirm_s*."""
        self._before, self._rolled_back = self.current, False
        self._deadline = self._clock.boottime() + confirm_s
        write_atomically(self._trial, b"a reload waits for its confirmation\n")
        self.current, self.problems, self.unconfirmed = loaded, (), False
        self._timer = asyncio.get_running_loop().call_later(confirm_s, self._roll_back)

    def confirm(self) -> None:
        """Make the reload that is on trial permanent.

        Raises:
            NothingToConfirm: none is.
        """
        if self._timer is None or self.current is None:
            raise NothingToConfirm(self._rolled_back)
        self._end_trial()
        self._good.save(self.current.text)

    def _roll_back(self) -> None:
        self._end_trial()
        self._rolled_back = True
        before, self._before = self._before, None
        if before is not None:
            self.current = before
            self.problems, self.unconfirmed = (f"{self.path}: not confirmed in time; `neodctl reload` uses it",), True
            self._revert(before.intents)

    def _end_trial(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        with suppress(OSError):
            self._trial.unlink(missing_ok=True)

    def load_initial(self, child: "Popen[bytes]") -> LoadedConfig:
        """Return what to start from: the file, or the last good one if it cannot be used or was never confirmed.

        *child* is reading the file already. Blocks until it is done.

        Raises:
            ConfigError: there is neither.
            ReadingFailed: neither could be read to its end.
        """
        try:
            intents = self._reader.collect(child)
            loaded = LoadedConfig(intents, self.path.read_bytes(), self._clock.wall())
            if not self._was_on_trial():
                return loaded
            error = ConfigError((f"{self.path}: not confirmed before neod ended; `neodctl reload` uses it",))
            self.unconfirmed = True
        except ConfigError as refusal:
            error = refusal
        self.problems = error.problems
        self._end_trial()
        try:
            if good := self._last_good():
                for line in (*error.lines, "(the last good file is used instead)"):
                    print(line, file=sys.stderr)
                return good
        except ConfigError as unusable:
            if not isinstance(unusable, ReadingFailed):
                self._good.refuse("; ".join(unusable.problems))
        if not self.unconfirmed:
            raise error
        self.problems, self.unconfirmed = (), False
        return loaded  # there is nothing to go back to

    def _last_good(self) -> LoadedConfig | None:
        if not (text := self._good.load(bytes)):
            return None
        return LoadedConfig(self._reader.collect(self._reader.spawn(str(self._good.path))), text, self._clock.wall())

    def _was_on_trial(self) -> bool:
        """Whether a reload was on trial when the last process ended."""
        try:
            if S_ISREG(self._trial.lstat().st_mode):
                return True
            set_aside(self._trial)
        except OSError:
            pass
        return False

    def start_with(self, loaded: LoadedConfig) -> None:
        """Make *loaded* the file in force; one that is only a fallback does not become the last good one again."""
        if self.problems:
            self.current = loaded
        else:
            self.use(loaded)
