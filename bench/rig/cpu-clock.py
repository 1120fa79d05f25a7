"""Owns one answer: how much processor time, in nanoseconds, other processes have used, all of their threads together.

usage: cpu-clock.py, then one line of pids on standard input for each question; one line of numbers comes back, 0 for a pid
that is gone. It is the sum of utime and stime in proc(5) stat, read from the process's clock (clock_getcpuclockid(3)) because
stat counts in steps of 10 ms, which is longer than many a round here.
"""

import sys
import time


def cpu_ns(pid: int) -> int:
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)  # as the C library builds the id of a process's clock
    except OSError:
        return 0


for line in sys.stdin:
    print(*(cpu_ns(int(pid)) for pid in line.split()), flush=True)
