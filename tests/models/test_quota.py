"""The processor quota of a container, read from trees as the kernel shows them."""

from pathlib import Path

import pytest

from models.quota import cpu_quota

V2_MOUNT = "29 23 0:26 {root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNT = "33 25 0:30 {root} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct"
OTHER_MOUNTS = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n35 25 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
V1_GROUPS = "4:memory:{path}\n3:cpu,cpuacct:{path}\n1:name=systemd:/elsewhere\n0::/init.scope"


def tree(root: Path, groups: str, mounts: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": f"{OTHER_MOUNTS}\n{mounts}".strip(), **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    base = f"sys/fs/cgroup/cpu,cpuacct/{folder}"
    return {f"{base}/cpu.cfs_quota_us": str(quota), f"{base}/cpu.cfs_period_us": str(period)}


def v2(folder: str, limit: str) -> dict[str, str]:
    return {f"sys/fs/cgroup/{folder}/cpu.max": limit}


SERVICE = "system.slice/headstart.service"
CASES = {
    "a container that sees its own part of v2": ("0::/", V2_MOUNT.format(root="/"), v2("", "150000 100000"), 1.5),
    "v2 below the root": (f"0::/{SERVICE}", V2_MOUNT.format(root="/"), v2(SERVICE, "200000 100000"), 2.0),
    "v2, limited by a group around it": (
        f"0::/{SERVICE}",
        V2_MOUNT.format(root="/"),
        v2(SERVICE, "max 100000") | v2("system.slice", "300000 100000"),
        3.0,
    ),
    "v2, the tightest of several": (
        f"0::/{SERVICE}",
        V2_MOUNT.format(root="/"),
        v2(SERVICE, "400000 100000") | v2("system.slice", "50000 100000"),
        0.5,
    ),
    "v2 as the host names it": ("0::/docker/1a2b", V2_MOUNT.format(root="/docker/1a2b"), v2("", "100000 50000"), 2.0),
    "v2 without a limit": (f"0::/{SERVICE}", V2_MOUNT.format(root="/"), v2(SERVICE, "max 100000"), None),
    "v1 in a container": (
        V1_GROUPS.format(path="/docker/1a2b"),
        V1_MOUNT.format(root="/docker/1a2b"),
        v1("", 250_000),
        2.5,
    ),
    "v1 below the root": (V1_GROUPS.format(path="/kube/pod7"), V1_MOUNT.format(root="/"), v1("kube/pod7", 50_000, 25_000), 2.0),
    "v1, limited by a group around it": (
        V1_GROUPS.format(path="/kube/pod7"),
        V1_MOUNT.format(root="/"),
        v1("kube/pod7", -1) | v1("kube", 100_000),
        1.0,
    ),
    "v1 without a limit": (V1_GROUPS.format(path="/"), V1_MOUNT.format(root="/"), v1("", -1), None),
    "v1 beside an empty v2": (
        V1_GROUPS.format(path="/pod"),
        V1_MOUNT.format(root="/") + "\n" + V2_MOUNT.format(root="/").replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified "),
        v1("pod", 100_000),
        1.0,
    ),
    "a path outside what is mounted": ("0::/../../other", V2_MOUNT.format(root="/mine"), v2("", "100000 100000"), 1.0),
    "nothing mounted": (V1_GROUPS.format(path="/"), "", {}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_quota_that_holds_is_found(tmp_path: Path, case: str) -> None:
    groups, mounts, files, quota = CASES[case]
    assert cpu_quota(tree(tmp_path, groups, mounts, files)) == quota


def test_without_control_groups_there_is_none(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize("limit", ["", "max", "100000", "1 0", "x y"])
def test_what_is_no_limit_is_none(tmp_path: Path, limit: str) -> None:
    assert cpu_quota(tree(tmp_path, "0::/", V2_MOUNT.format(root="/"), v2("", limit))) is None
