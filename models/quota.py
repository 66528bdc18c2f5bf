"""The share of the processor that Linux's control groups leave to this process (kernel documentation: cgroup-v1, cgroup-v2)."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_V2 = "cgroup2"
_V1 = "cgroup"


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Returns how many processors' time this process may use, by the tightest limit on it and on the groups around it.

    Args:
        root: of the file system, for tests.

    Returns:
        None where there is no limit, or no control groups.
    """
    try:
        groups = list(_groups(root))
    except OSError:
        return None
    return min((quota for group in groups if (quota := _quota(group)) is not None), default=None)


def _groups(root: Path) -> Iterator[Path]:
    """Yields the folder of every group that this process is in and that may limit its processor time."""
    paths = _paths_by_controller((root / "proc/self/cgroup").read_text())
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        mount, _, kind = line.partition(" - ")
        shown, mounted_at = (_plain(field) for field in mount.split()[3:5])
        file_system, _, options = kind.split()[:3]
        path = paths.get("cpu" if file_system == _V1 and "cpu" in options.split(",") else "" if file_system == _V2 else None)
        if path is None:
            continue
        top = root / mounted_at.lstrip("/")
        # In a container the path may be the host's, and only the container's own part of it is mounted.
        inside = PurePosixPath(path).relative_to(shown) if PurePosixPath(path).is_relative_to(shown) else PurePosixPath()
        yield from (top.joinpath(*inside.parts[:depth]) for depth in range(len(inside.parts) + 1))


def _paths_by_controller(text: str) -> dict[str | None, str]:
    """Parses `hierarchy:controllers:path` lines; the one hierarchy of version 2 names no controllers."""
    paths: dict[str | None, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)
    return paths


def _quota(group: Path) -> float | None:
    for read in (_quota_v2, _quota_v1):
        try:
            return read(group)
        except (OSError, ValueError, ZeroDivisionError):  # There is no such file, or it says `max`.
            continue
    return None


def _quota_v2(group: Path) -> float | None:
    quota, period = (group / "cpu.max").read_text().split()
    return int(quota) / int(period)


def _quota_v1(group: Path) -> float | None:
    quota = int((group / "cpu.cfs_quota_us").read_text())
    return quota / int((group / "cpu.cfs_period_us").read_text()) if quota > 0 else None


def _plain(field: str) -> str:
    """Returns a path without mountinfo's octal escapes for blanks and the like."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
