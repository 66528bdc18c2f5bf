"""Certificates, and servers that speak TLS."""

import socket
import subprocess
import time
from pathlib import Path

from benchmarks.server_process import Process


def certificate(folder: Path) -> tuple[Path, Path]:
    """Makes a certificate for `localhost` and its private key."""
    made, private = folder / "cert.pem", folder / "key.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    command = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    subprocess.run([*command, "-keyout", str(private), "-out", str(made), *subject], check=True, capture_output=True)
    return made, private


class Secure:
    """For a class of server processes: one with TLS is ready when its port can be reached."""

    url: str
    process: Process

    def _wait_until_ready(self, until: str) -> None:
        assert until == "/readyz"
        port, deadline = int(self.url.rpartition(":")[2]), time.monotonic() + 60
        while True:
            assert self.process.poll() is None
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            else:
                return
