"""The sandbox's own process: ``python -m rung.sandbox.child``, started by `rung.sandbox.run`.

First line of stdin: ``{"command", "seconds", "memory", "disk", "processes"}`` as JSON; the rest is the command's stdin.
It makes namespaces of its own (user, mount, network, process ids, IPC, host name), makes every file system read-only,
covers those where sockets and secrets of a session lie, forks, and lets the limits hold for the command alone.
Exit code: the command's, 128 + the signal that ended it, 125 if the sandbox cannot be had.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import struct
import sys
from typing import Any, NoReturn

REFUSED = 125

_NEW_NAMESPACES = 0x10000000 | 0x00020000 | 0x40000000 | 0x20000000 | 0x08000000 | 0x04000000
"""unshare(2): user, mount, network, process ids, IPC, UTS"""

_PRIVATE, _READ_ONLY, _NOSUID, _NODEV = 0x40000 | 0x4000, 1, 2, 4
"""mount(2): MS_PRIVATE | MS_REC, MS_RDONLY, MS_NOSUID, MS_NODEV"""

_MOUNT_SETATTR, _RECURSIVE, _RDONLY, _HERE = 442, 0x8000, 1, -100
"""mount_setattr(2): its number on every architecture, AT_RECURSIVE, MOUNT_ATTR_RDONLY, AT_FDCWD"""

_NOBODY = 65534
"""who the command is: root of the namespace would have all its capabilities back after execve(2)"""

_PDEATHSIG, _NO_NEW_PRIVS = 1, 38
"""prctl(2)"""

_SCRATCH = "/tmp"  # noqa: S108
"""the only place the command can write to: memory that goes with it"""

_COVERED = ("/run", "/var/run", "/var/tmp", "/dev/shm")  # noqa: S108
"""where daemons and sessions keep their sockets, which a read-only file system would still let one connect to"""


def main() -> NoReturn:
    told: dict[str, Any] = json.loads(_line())
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PDEATHSIG, signal.SIGKILL)
    try:
        _leave_everything(libc, int(told["disk"]))
    except OSError:
        os._exit(REFUSED)
    init = os.fork()
    if init == 0:  # the first process of the new namespace: all others end with it
        libc.prctl(_PDEATHSIG, signal.SIGKILL)
        # its own /proc, read-only too: seen from outside the command may be root, whom the kernel lets write there
        if libc.mount(b"proc", b"/proc", b"proc", _READ_ONLY | _NOSUID | _NODEV, None) != 0:
            os._exit(REFUSED)
        command = os.fork()
        if command == 0:
            _become(libc, told)
        os._exit(_wait(command))
    signal.signal(signal.SIGALRM, lambda *_: os.kill(init, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, float(told["seconds"]))
    os._exit(_wait(init))


def _wait(process: int) -> int:
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code if code >= 0 else 128 - code


def _line() -> bytes:
    """The first line, byte by byte: what follows belongs to the command."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            sys.exit(REFUSED)
        line += byte
    return line


def _leave_everything(libc: ctypes.CDLL, disk: int) -> None:
    """Raises OSError where the system does not allow it."""
    user, group = os.getuid(), os.getgid()
    _must(libc.unshare(_NEW_NAMESPACES))
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{_NOBODY} {user} 1")
    _write("/proc/self/gid_map", f"{_NOBODY} {group} 1")
    _write("/proc/sys/user/max_user_namespaces", "0")  # of this one: no further ones inside
    _must(libc.mount(None, b"/", None, _PRIVATE, None))
    for place in _COVERED:
        if os.path.isdir(place) and not os.path.islink(place):
            _must(libc.mount(b"tmpfs", place.encode(), b"tmpfs", _NOSUID | _NODEV, b"size=4k"))
    attributes = struct.pack("QQQQ", _RDONLY, 0, 0, 0)
    _must(libc.syscall(_MOUNT_SETATTR, _HERE, b"/", _RECURSIVE, attributes, len(attributes)))
    scratch = f"size={disk}".encode()
    _must(libc.mount(b"tmpfs", _SCRATCH.encode(), b"tmpfs", _NOSUID | _NODEV, scratch))
    os.chdir(_SCRATCH)


def _become(libc: ctypes.CDLL, told: dict[str, Any]) -> NoReturn:
    """Take the limits and run the command, which has no capability: it is not root, and cannot become it."""
    try:
        libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        seconds = max(1, round(told["seconds"]))
        for limit, value in (
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_AS, told["memory"]),
            (resource.RLIMIT_FSIZE, told["disk"]),
            (resource.RLIMIT_NOFILE, 256),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(limit, (value, value))
        resource.setrlimit(resource.RLIMIT_NPROC, (told["processes"], told["processes"]))
        environment = {"PATH": os.defpath, "HOME": _SCRATCH, "TMPDIR": _SCRATCH, "LANG": "C.UTF-8"}
        os.execvpe(told["command"][0], told["command"], environment)  # noqa: S606
    except (OSError, ValueError):
        os._exit(127)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _must(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "the sandbox cannot be had")


if __name__ == "__main__":
    main()
