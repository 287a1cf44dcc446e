"""Settings of malloc that keep freed memory in the process for the next step.

A training step allocates and frees tens to hundreds of megabytes. By default the C
library returns such blocks to the system and requests them again a step later, and the
kernel clears every page: half of the time of a step.
"""

import ctypes
import platform

# Options of glibc's mallopt(3), by their numbers in malloc.h; values are C integers.
_LARGEST = 2**31 - 1
_MMAP_THRESHOLD = -3  # Smaller blocks come from the heap, larger from the system.
_OTHERS = {
    -8: 1,  # M_ARENA_MAX: one heap for all threads; further heaps end at 64 MB.
    -1: _LARGEST,  # M_TRIM_THRESHOLD: up to 2 GB of free heap is kept.
    -2: 2**26,  # M_TOP_PAD: the heap grows by 64 MB at a time.
}


def keep_memory() -> bool:
    """Let the C library keep up to 2 GB of freed memory instead of returning it.

    The command line calls it at its start. A program that imports astrokeras may call
    it before Keras is imported; it affects the whole process.

    Returns:
        Whether the C library supports it; only glibc (Linux) does.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    # Older versions accept at most 32 MB. Without any threshold the other options would
    # be harmful: setting one of them fixes the threshold at 128 kB.
    thresholds = (_LARGEST, 2**25)
    if not any(library.mallopt(_MMAP_THRESHOLD, value) for value in thresholds):
        return False
    taken = [library.mallopt(key, value) for key, value in _OTHERS.items()]
    return all(taken)
