"""Notices that a process is ending before anybody is told.

The kernel frees a process's memory before it closes its sockets and reports its end, which takes 200 to 350 ms for
a model of 2 GB. That it has begun to exit stands in ``/proc/PID/stat`` at once (the flag PF_EXITING, and then the
state; proc_pid_stat(5), include/linux/sched.h). One look costs 5 microseconds.
"""

from __future__ import annotations

import os

_PF_EXITING = 0x4
_STATE, _FLAGS = 0, 6
"""places after the name, which stands in parentheses and may hold anything"""


class Pulse:
    """Feels for the process `pid`, a child of ours. Where there is no ``/proc`` it never says anything."""

    def __init__(self, pid: int) -> None:
        try:
            self._file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        except OSError:
            self._file = -1

    def stopped(self) -> bool:
        """Has it begun to end?"""
        if self._file < 0:
            return False
        try:
            told = os.pread(self._file, 512, 0).rpartition(b") ")[2].split()
        except ProcessLookupError:
            return True
        return told[_STATE] in (b"Z", b"X") or bool(int(told[_FLAGS]) & _PF_EXITING)

    def close(self) -> None:
        """Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
