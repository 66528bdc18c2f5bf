"""What a process does with memory that it frees."""

import platform
import subprocess
import sys

import pytest

# Page faults of taking and freeing 64 MB thirty times, before and after: the system fills each page anew, then the process has
# them already.
_SCRIPT = """
import resource
import torch
from training.devices import keep_freed_memory

def faults():
    torch.ones(16 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(30):
        torch.ones(16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
keep_freed_memory()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_freed_memory_is_used_again_without_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], check=True, capture_output=True, text=True)
    plain, keep = map(int, done.stdout.split())
    assert keep < plain / 2
