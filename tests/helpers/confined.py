"""Runs a command under the system call filters that a systemd unit asks for: `python confined.py UNIT COMMAND…`.

The filters are those of systemd's own `src/shared/seccomp-util.c`, made with the same library. No root and no running systemd are
needed for them.
"""

import ctypes
import errno
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_MASKED_EQUAL, _NOT_EQUAL = 7, 1
_WRITE, _EXEC, _SHM_EXEC = 2, 4, 0o100000
_NO_NEW_PRIVILEGES = 38


class _Comparison(ctypes.Structure):
    _fields_ = (("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


_library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
_library.seccomp_init.restype = ctypes.c_void_p
_library.seccomp_rule_add_array.argtypes = (
    ctypes.c_void_p,
    ctypes.c_uint32,
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.POINTER(_Comparison),
)
_library.seccomp_load.argtypes = (ctypes.c_void_p,)


def _refuse(*rules: tuple[str, _Comparison]) -> None:
    """Refuses these system calls with such an argument, and allows all others."""
    _load(_ALLOW, _REFUSE, rules)


def _load(otherwise: int, action: int, rules: "tuple[tuple[str, _Comparison | None], ...]") -> None:
    made = _library.seccomp_init(otherwise)
    for name, comparison in rules:
        number = _library.seccomp_syscall_resolve_name(name.encode())
        compared = (_Comparison * 1)(*([comparison] if comparison else []))
        if number >= 0 and (failed := _library.seccomp_rule_add_array(made, action, number, bool(comparison), compared)):
            raise OSError(-failed, f"seccomp: {name}")
    if failed := _library.seccomp_load(made):
        raise OSError(-failed, "seccomp")


def _calls_of(group: str) -> Iterator[str]:
    """The system calls of one of systemd's groups."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    for name in re.findall(r"^ +([@\w-]+)$", listed.stdout, re.MULTILINE):
        if name.startswith("@"):
            yield from _calls_of(name)
        else:
            yield name


def main() -> None:
    unit, *command = sys.argv[1:]
    asked = dict(re.findall(r"^(\w+)=(.*)$", Path(unit).read_text(), re.MULTILINE))
    groups = asked["SystemCallFilter"].split()
    calls = {call for group in groups for call in _calls_of(group)}
    assert asked["NoNewPrivileges"] == "true"
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if asked["MemoryDenyWriteExecute"] == "true":
        both = _WRITE | _EXEC
        _refuse(
            ("mmap", _Comparison(2, _MASKED_EQUAL, both, both)),
            ("mprotect", _Comparison(2, _MASKED_EQUAL, _EXEC, _EXEC)),
            ("pkey_mprotect", _Comparison(2, _MASKED_EQUAL, _EXEC, _EXEC)),
            ("shmat", _Comparison(2, _MASKED_EQUAL, _SHM_EXEC, _SHM_EXEC)),
        )
    families = sorted(getattr(socket, name) for name in asked["RestrictAddressFamilies"].split())
    for family in range(families[-1] + 1):
        if family not in families:
            _refuse(("socket", _Comparison(0, 4, family, 0)))
    _refuse(("socket", _Comparison(0, 6, families[-1], 0)))
    _load(_REFUSE, _ALLOW, tuple((call, None) for call in sorted(calls)))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
