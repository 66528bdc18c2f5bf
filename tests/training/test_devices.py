"""What a process does with memory that it frees."""

import platform
import subprocess
import sys

import pytest

# Page faults of taking and freeing 64 MB thirty times: the system fills each page anew, or the process has them already.
_SCRIPT = """
import resource, sys
import torch
from training.devices import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
torch.ones(16 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(30):
    torch.ones(16 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_freed_memory_is_used_again_without_the_system() -> None:
    faults = {
        way: int(subprocess.run([sys.executable, "-c", _SCRIPT, way], check=True, capture_output=True, text=True).stdout)
        for way in ("keep", "plain")
    }
    assert faults["keep"] < faults["plain"] / 2
