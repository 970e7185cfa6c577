"""The file in use: read again, kept as the last good one, and undone when nobody confirms it.

What is needed to undo a reload is on disk before the reload takes effect: the
promise to come back holds over kill -9 and reboot.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from neod.config.reader import read
from neod.control.errors import FileInvalid, NothingToConfirm
from neod.features.intents import Intents
from neod.kernel.files import write_atomically
from neod.model.errors import ConfigError
from neod.model.ports import Clock


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """The file, read and compiled."""

    intents: Intents
    text: bytes
    wall: float  # when


class ConfigStore:
    """Reads the file and remembers what was good.

    ``problems`` is not empty while the file on disk cannot be used and an
    older one is in force.
    """

    def __init__(self, path: Path, state_dir: Path, clock: Clock, revert: Callable[[Intents], None]) -> None:
        self.path, self._clock, self._revert = path, clock, revert
        self._good, self._trial = state_dir / "last-good.toml", state_dir / "unconfirmed"
        self.problems: tuple[str, ...] = ()
        self.current: LoadedConfig | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._before: LoadedConfig | None = None
        self._rolled_back = False
        self.degraded = ""  # why the last good file could not be kept on disk

    # ------------------------------------------------------------ reading

    async def read(self, path: Path | None = None) -> LoadedConfig:
        """Return what the file says now.

        Raises:
            FileInvalid: it cannot be used; the file in force stays.
        """
        target = path or self.path
        try:
            intents = await read(str(target))
            return LoadedConfig(intents, target.read_bytes(), self._clock.wall())
        except ConfigError as error:
            if path is None:
                self.problems = error.problems
            raise FileInvalid(error.problems) from error
        except OSError as error:
            raise FileInvalid((f"{target}: {error.strerror}",)) from error

    def use(self, loaded: LoadedConfig) -> None:
        """Make *reading* the file in force, and the one to fall back to."""
        self.current, self.problems = loaded, ()
        self._keep(loaded)

    def _keep(self, loaded: LoadedConfig) -> None:
        try:
            write_atomically(self._good, loaded.text)
            self.degraded = ""
        except OSError as error:
            self.degraded = f"cannot keep {self._good}: {error.strerror}"

    # ------------------------------------------------------------ confirm or come back

    @property
    def trial_left_s(self) -> float | None:
        """Return the seconds until an unconfirmed reload is undone; None when none waits."""
        return None if self._timer is None else max(0.0, self._deadline - self._clock.boottime())

    def try_out(self, loaded: LoadedConfig, confirm_s: float) -> None:
        """Use *reading*, but go back to the one in force unless ``confirm`` comes within *confirm_s*."""
        self._before, self._rolled_back = self.current, False
        self._deadline = self._clock.boottime() + confirm_s
        write_atomically(self._trial, b"a reload waits for its confirmation\n")
        self.current, self.problems = loaded, ()
        self._timer = asyncio.get_running_loop().call_later(confirm_s, self._come_back)

    def confirm(self) -> None:
        """Make the reload that is on trial permanent.

        Raises:
            NothingToConfirm: none is.
        """
        if self._timer is None or self.current is None:
            raise NothingToConfirm(self._rolled_back)
        self._end_trial()
        self._keep(self.current)

    def _come_back(self) -> None:
        self._end_trial()
        self._rolled_back = True
        before, self._before = self._before, None
        if before is not None:
            self.current = before
            self.problems = (f"{self.path}: not confirmed in time, so the file before is in force; reload to use it",)
            self._revert(before.intents)

    def _end_trial(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        with suppress(OSError):
            self._trial.unlink(missing_ok=True)

    # ------------------------------------------------------------ start

    def wall(self) -> float:
        """Return the time, for people."""
        return self._clock.wall()

    def unconfirmed(self) -> bool:
        """Whether a reload was on trial when the last process ended: its file must not be used unasked."""
        return self._trial.exists()

    def fall_back(self, problems: tuple[str, ...]) -> Path | None:
        """Return the last good file, to start from when the one on disk cannot be used; None if there is none."""
        self.problems = problems
        with suppress(OSError):
            self._trial.unlink(missing_ok=True)
        return self._good if self._good.exists() else None
