"""Owns one promise: the program it becomes is killed when the process that started it dies, by kill -9 too.

usage: die-with-parent.py PARENT_PID PROGRAM [ARGUMENT ...]

The kernel keeps the promise (prctl PR_SET_PDEATHSIG, Linux), bound to the parent's thread: so the parent must start
programs from its main thread. Nothing else stays between parent and program: same pid, same standard streams.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            sys.exit("die-with-parent: prctl: " + os.strerror(ctypes.get_errno()))
        if os.getppid() != parent:
            sys.exit("die-with-parent: the parent is gone already")
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit("die-with-parent: %s: %s" % (program[0], error.strerror))


main()
