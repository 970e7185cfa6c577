"""The file of the control socket: made with the rights of its groups, and known again."""

import os
import socket
import stat
import time
from pathlib import Path
from typing import Final

import structlog

from neod.control.access import Groups, admit
from neod.control.address import bindable
from neod.model.errors import NeoError

BACKLOG: Final = 64
DIRECTORY_MODE: Final = 0o755

log = structlog.get_logger("neod.control")


class AlreadyServed(NeoError):
    """Another process answers on the control socket."""


class SocketFile:
    """One socket file at a time at *path*. Root can take it away or change its rights: then another is made."""

    def __init__(self, path: Path, groups: Groups) -> None:
        self.path, self._groups = path, groups
        self._made: os.stat_result | None = None

    def bind(self) -> socket.socket:
        """Return a listening socket that has the name; what is no socket is renamed.

        Raises:
            AlreadyServed: another process listens there.
            OSError: the file cannot be made.
        """
        self._make_room()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            os.fchmod(sock.fileno(), 0o600)  # the file is born with this mode: no moment when all may connect
            with bindable(str(self.path)) as name:
                sock.bind(name)
            if os.geteuid() == 0:
                admit(self.path, self._groups)
            sock.listen(BACKLOG)
            self._made = self.path.lstat()
        except BaseException:
            sock.close()
            raise
        return sock

    def in_place(self) -> bool:
        """Whether the file is there and lets in whom it let in; more rights are the administrator's business."""
        made = self._made
        try:
            now, directory = self.path.lstat(), self.path.parent.stat()
        except OSError:
            return False
        if made is None or not os.path.samestat(now, made) or made.st_mode & ~now.st_mode or now.st_uid != made.st_uid:
            return False
        return not (os.geteuid() == 0 and self._groups != Groups() and DIRECTORY_MODE & ~directory.st_mode & 0o011)

    def remove(self) -> None:
        """Unlink the file if it is still ours and not that of a successor."""
        try:
            if self._made is not None and os.path.samestat(self.path.lstat(), self._made):
                self.path.unlink()
        except OSError:
            pass

    def _make_room(self) -> None:
        directory = self.path.parent
        try:
            missing = DIRECTORY_MODE & ~directory.stat().st_mode & 0o011
            if not directory.is_dir():
                _rename(directory)
                directory.mkdir(DIRECTORY_MODE)
            elif missing and self._made is not None:
                directory.chmod(stat.S_IMODE(directory.stat().st_mode) | missing)
        except FileNotFoundError:
            directory.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
        if self._made is not None:
            self.remove()
        self._clear()

    def _clear(self) -> None:
        """Remove the socket file of a process that has ended.

        Raises:
            AlreadyServed: it still runs.
        """
        try:
            if not stat.S_ISSOCK(self.path.lstat().st_mode):
                _rename(self.path)
                return
        except FileNotFoundError:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            try:
                with bindable(str(self.path)) as name:
                    probe.connect(name)
            except ConnectionRefusedError:
                self.path.unlink()
                return
            except BlockingIOError:
                pass  # a listener so busy that its backlog is full
        raise AlreadyServed(f"another neod answers on {self.path}")


def _rename(path: Path) -> None:
    aside = path.with_name(f"{path.name}.bad")
    if aside.is_dir() and not aside.is_symlink():  # nothing can be renamed to it
        aside = path.with_name(f"{path.name}.bad.{time.time_ns()}")
    path.rename(aside)
    log.warning("in the place of the control socket", path=str(path), moved_to=aside.name)
