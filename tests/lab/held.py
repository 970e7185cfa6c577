"""Memory that waits when the kernel first writes to it: recv() into it owns its socket for as long.

Source: userfaultfd(2), ioctl_userfaultfd(2), linux/userfaultfd.h.
"""

import ctypes
import fcntl
import mmap
import os
import struct
import threading
import time

SYS_USERFAULTFD = {"x86_64": 323, "aarch64": 282}
_API, _UFFDIO_API, _UFFDIO_REGISTER, _UFFDIO_ZEROPAGE = 0xAA, 0xC018AA3F, 0xC020AA00, 0xC020AA04
_MISSING = 1
_MESSAGE_BYTES, _ADDRESS_AT = 32, 16
_libc = ctypes.CDLL(None, use_errno=True)


def held(length: int, seconds: float) -> mmap.mmap:
    """Return memory whose first page comes *seconds* after it is needed, all others at once; again after MADV_DONTNEED.

    Raises:
        OSError: this kernel has no userfaultfd.
    """
    fd = _libc.syscall(SYS_USERFAULTFD[os.uname().machine], os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "userfaultfd")
    memory = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(fd, _UFFDIO_API, struct.pack("QQQ", _API, 0, 0))
    fcntl.ioctl(fd, _UFFDIO_REGISTER, struct.pack("QQQQ", begin, length, _MISSING, 0))
    threading.Thread(target=_provide, args=(fd, begin, seconds), daemon=True).start()
    return memory


def _provide(fd: int, begin: int, seconds: float) -> None:
    while message := os.read(fd, _MESSAGE_BYTES):
        (address,) = struct.unpack_from("Q", message, _ADDRESS_AT)
        page = address & -mmap.PAGESIZE
        if page == begin:
            time.sleep(seconds)
        fcntl.ioctl(fd, _UFFDIO_ZEROPAGE, struct.pack("QQQq", page, mmap.PAGESIZE, 0, 0))
