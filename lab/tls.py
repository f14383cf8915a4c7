"""A certificate authority of the lab's own and a server certificate that it signed, made by openssl."""

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lab import process

# Python 3.13 refuses what is not to the letter of RFC 5280 (ssl.VERIFY_X509_STRICT): hence the key
# identifiers and critical flags.
CONFIG = """\
[ca]
default_ca = lab
[lab]
database = {directory}/index.txt
new_certs_dir = {directory}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = any
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


@dataclass(frozen=True)
class Certificate:
    """PEM files: the authority that clients are told to trust, and the server's certificate and key."""

    ca: Path
    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """What a server needs to present it."""
        return server_context(self.certificate, self.key)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS settings."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def make(
    directory: Path,
    names: Sequence[str],
    *,
    authority: Certificate | None = None,
    days: tuple[int, int] = (-1, 3650),
) -> Certificate:
    """Make a certificate for ``names`` (DNS names and IP addresses) in ``directory``, and who signs it.

    It is valid between ``days`` from now: from a day ago, so that a guest whose clock is a little behind
    takes it, for ten years. An ``authority`` that was made before signs it if given.

    Raises:
        LabError: openssl is missing or fails.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "openssl.cnf"
    config.write_text(CONFIG.format(directory=directory.resolve(), names=",".join(map(_alternative, names))))
    (directory / "index.txt").write_text("")
    ca = authority.ca if authority else directory / "ca.pem"
    key = ca.with_suffix(".key")
    if authority is None:
        _request(config, directory / "ca", "ztgate lab CA")
        _sign(config, directory / "ca", "authority", ["-selfsign", "-keyfile", key], (-1, 3650))
    _request(config, directory / "server", names[0])
    _sign(config, directory / "server", "server", ["-cert", ca, "-keyfile", key], days)
    return Certificate(ca, directory / "server.pem", directory / "server.key")


def _alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def _request(config: Path, stem: Path, common_name: str) -> None:
    process.run([
        "openssl", "req", "-new", "-config", config, "-subj", f"/CN={common_name}", "-nodes",
        "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-keyout", stem.with_suffix(".key"), "-out", stem.with_suffix(".csr"),
    ])  # fmt: skip


def _sign(
    config: Path, stem: Path, extensions: str, signer: Sequence[process.Arg], days: tuple[int, int]
) -> None:
    # `openssl x509` takes a start date only since 3.4; `openssl ca` always did.
    start, end = (f"{datetime.now(UTC) + timedelta(days=day):%Y%m%d%H%M%SZ}" for day in days)
    process.run([
        "openssl", "ca", "-config", config, "-batch", "-notext", "-extensions", extensions,
        "-startdate", start, "-enddate", end, *signer,
        "-in", stem.with_suffix(".csr"), "-out", stem.with_suffix(".pem"),
    ])  # fmt: skip
