"""Freed memory stays with the process."""

import platform
import subprocess
import sys

import pytest
from conftest import ROOT

# Counts the pages that the kernel hands out for blocks of 100 MB, freed in between.
# The first block is not counted.
FAULTS = """
import resource, sys
import numpy as np
from astrokeras.system.malloc import keep_memory
if {keep} and not keep_memory():
    raise SystemExit("glibc takes no threshold")
for turn in range(4):
    np.ones(25_000_000, "float32")
    if turn == 0:
        first = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - first)
"""


def count_faults(keep):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(keep=keep)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
        timeout=300,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_a_freed_block_is_used_again():
    kept, given_back = count_faults(True), count_faults(False)

    assert kept < 0.1 * given_back
