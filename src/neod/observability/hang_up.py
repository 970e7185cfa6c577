"""SIGHUP, which asks for a reload: from the first statement of a program on, it ends the program no more."""

import signal

HANG_UP = {signal.SIGHUP}


def keep_hang_up() -> None:
    """Keep a signal that comes from now on for whoever is to take it; call before the file is read."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANG_UP)


def take_hang_up() -> None:
    """Take what came meanwhile, and what comes: there is somebody who reads the file again now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANG_UP)
