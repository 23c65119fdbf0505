"""A certificate for loopback that no authority vouches for."""

import subprocess
from pathlib import Path

from tests.conftest import require


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Certificate and key, PEM."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        require("openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]
    subject = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [*command, *subject, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60
    )
    return certificate, key
