"""The real clocks; the only module that reads them."""

import time


class SystemClock:
    """CLOCK_BOOTTIME for deadlines, the wall clock for people."""

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        return time.time()

    def cpu(self) -> float:
        return time.thread_time()
