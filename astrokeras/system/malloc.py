"""Memory that is freed stays with the process, ready for the next step.

A training step allocates and frees tens to hundreds of megabytes. The C library gives
such blocks back to the system and asks for them again a step later, and the kernel
then clears every page of them: half of the time of a step that multiplies matrices.
"""

import ctypes
import platform

# Options of glibc's mallopt(3), by their numbers in malloc.h; the largest int is all
# that it takes.
_LARGEST = 2**31 - 1
_MMAP_THRESHOLD = -3  # blocks below come from the heap, others from the system
_OTHERS = {
    -8: 1,  # M_ARENA_MAX: one heap for all threads, since others end at 64 MB
    -1: _LARGEST,  # M_TRIM_THRESHOLD: up to 2 GB of free heap is kept
    -2: 2**26,  # M_TOP_PAD: the heap grows by 64 MB at a time
}


def keep_memory() -> bool:
    """Let the C library keep up to 2 GB of freed memory instead of giving it back.

    The command line does so at its start. A program that imports astrokeras calls it
    itself, before Keras is imported, if it may hold on to that much memory: it is for
    the whole process.

    Returns:
        Whether this C library can be told; only glibc (Linux) can.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    # Older versions take no more than 32 MB. Without any threshold the others would
    # do harm: setting one of them freezes it at 128 kB.
    thresholds = (_LARGEST, 2**25)
    if not any(library.mallopt(_MMAP_THRESHOLD, value) for value in thresholds):
        return False
    taken = [library.mallopt(key, value) for key, value in _OTHERS.items()]
    return all(taken)
