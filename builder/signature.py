"""Signatures of a list of checksums with a key of the user's: minisign's, or OpenSSH's."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from builder import host
from builder.errors import BuildError
from builder.project import say
from builder.run import Arg, CommandError, run

SUMS = "SHA256SUMS"
NAMESPACE = "ztgate"  # of OpenSSH: a signature for something else does not count
KEYS = "minisign -G makes a key for that, and so does ssh-keygen -t ed25519"


@dataclass(frozen=True)
class Kind:
    """A kind of signature: its file's suffix, and how its keys begin."""

    name: str
    suffix: str
    secret: tuple[str, ...]
    public: tuple[str, ...]


MINISIGN = Kind(
    "minisign",
    ".minisig",
    ("untrusted comment: minisign encrypted secret key", "untrusted comment: minisign secret key"),
    ("untrusted comment: minisign public key", "RW"),
)
OPENSSH = Kind(
    "OpenSSH",
    ".sig",
    (
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ssh-",
        "ecdsa-",
        "sk-",
    ),  # a public one: the agent has the other half
    ("ssh-", "ecdsa-", "sk-"),
)
NEEDS = {MINISIGN.name: host.MINISIGN, OPENSSH.name: host.OPENSSH}


def secret_kind(key: Path) -> Kind:
    """What a key to sign with is.

    Raises:
        BuildError: it is none, or cannot be read.
    """
    for kind in (MINISIGN, OPENSSH):
        if _text(key).startswith(kind.secret):
            return kind
    raise BuildError(f"--sign {key}: no secret key of minisign's or OpenSSH's", KEYS)


def sign(sums: Path, key: Path) -> Path:
    """Sign a list of checksums; a password is asked for at the terminal."""
    kind = secret_kind(key)
    host.ensure([NEEDS[kind.name]], say)
    signature = sums.with_name(sums.name + kind.suffix)
    signature.unlink(missing_ok=True)
    if kind is MINISIGN:
        comment = f"sha256:{hashlib.sha256(sums.read_bytes()).hexdigest()}"  # its own would be the time
        argv: list[Arg] = ["minisign", "-S", "-s", key, "-m", sums, "-x", signature, "-t", comment]
        say("minisign may ask for the key's password now")
    else:
        argv = ["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", NAMESPACE, sums]
    try:
        run(argv, terminal=True)
    except CommandError as e:
        reason = (e.output.strip().splitlines() or ["no reason given"])[-1]
        raise BuildError(
            f"--sign {key}: {kind.name} could not sign: {reason}", "is that the right password?"
        ) from None
    return signature


def verify(file: Path, key: Path) -> str:
    """Check a file against the signed list beside it; returns the kind of the signature.

    Raises:
        BuildError: the signature is not this key's, or the file is not the one in the list.
    """
    sums = file if file.name == SUMS else file.with_name(SUMS)
    for needed in (file, sums):
        if not needed.is_file():
            raise BuildError(
                f"{needed}: there is no such file", f"a signed export has a {SUMS} beside its files"
            )
    kind = next((k for k in (MINISIGN, OPENSSH) if _text(key).startswith(k.public)), None)
    if kind is None:
        raise BuildError(
            f"{key}: no public key of minisign's or OpenSSH's", "it is the one that ends in .pub"
        )
    signature = sums.with_name(sums.name + kind.suffix)
    if not signature.is_file():
        raise BuildError(f"{signature}: there is no such file", f"it was not signed with {kind.name}")
    host.ensure([NEEDS[kind.name]], say)
    _verify(kind, sums, signature, key)
    if file != sums:
        _compare(file, sums)
    return kind.name


def _verify(kind: Kind, sums: Path, signature: Path, key: Path) -> None:
    try:
        if kind is MINISIGN:
            run(["minisign", "-V", "-q", "-p", key, "-m", sums, "-x", signature])
            return
        with tempfile.NamedTemporaryFile("w") as signers:
            signers.write(f"{NAMESPACE} {_text(key).strip()}\n")
            signers.flush()
            words: list[Arg] = [
                "-Y",
                "verify",
                "-f",
                signers.name,
                "-I",
                NAMESPACE,
                "-n",
                NAMESPACE,
                "-s",
                signature,
            ]
            run(["ssh-keygen", *words], stdin=sums.read_bytes())
    except CommandError:
        hint = "do not use these files: take them from where they were made, once more"
        raise BuildError(f"{signature}: not the signature of {sums} by the key {key}", hint) from None


def _compare(file: Path, sums: Path) -> None:
    listed = {
        name: sha256 for sha256, _, name in (line.partition("  ") for line in sums.read_text().splitlines())
    }
    if file.name not in listed:
        raise BuildError(f"{file}: {sums} does not list it", "is it of another export?")
    with file.open("rb") as data:
        found = hashlib.file_digest(data, "sha256").hexdigest()
    if found != listed[file.name]:
        raise BuildError(
            f"{file}: its sha256 is {found}, and {sums} says {listed[file.name]}",
            "it is damaged, or another one",
        )


def _text(key: Path) -> str:
    try:
        return key.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BuildError(f"{key}: there is no such file", KEYS) from None
    except UnicodeDecodeError:
        return ""
