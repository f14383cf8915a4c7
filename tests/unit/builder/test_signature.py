"""Signatures with keys of both kinds, and what is said of each way in which they do not fit."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from builder import signature
from builder.errors import BuildError
from builder.signature import SUMS


@pytest.fixture(params=["minisign", "OpenSSH"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, Path]:
    """Its kind, a secret key and its public one."""
    return (request.param, *make(request.param, tmp_path, "mine"))


def make(kind: str, directory: Path, name: str) -> tuple[Path, Path]:
    secret, public = directory / name, directory / f"{name}.pub"
    argv = {
        "minisign": ["minisign", "-G", "-W", "-s", str(secret), "-p", str(public)],
        "OpenSSH": ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(secret)],
    }[kind]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return secret, public


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    file = tmp_path / "x.img.zst"
    file.write_bytes(b"an image")
    (tmp_path / SUMS).write_text(f"{hashlib.sha256(b'an image').hexdigest()}  {file.name}\n")
    return file


def test_what_was_signed_is_recognized(keys: tuple[str, Path, Path], exported: Path) -> None:
    kind, secret, public = keys
    signed = signature.sign(exported.with_name(SUMS), secret)
    first = signed.read_bytes()
    assert signature.verify(exported, public) == kind
    assert signature.verify(exported.with_name(SUMS), public) == kind
    signature.sign(exported.with_name(SUMS), secret)
    assert signed.read_bytes() == first  # no time is in it


def test_what_was_changed_is_refused(keys: tuple[str, Path, Path], exported: Path, tmp_path: Path) -> None:
    kind, secret, public = keys
    sums = exported.with_name(SUMS)
    signature.sign(sums, secret)
    exported.write_bytes(b"another image")
    with pytest.raises(BuildError, match=r"x\.img\.zst: its sha256 is"):
        signature.verify(exported, public)
    sums.write_text(f"{hashlib.sha256(b'another image').hexdigest()}  {exported.name}\n")
    with pytest.raises(BuildError, match=f"not the signature of .*{SUMS} by the key"):
        signature.verify(exported, public)
    sums.write_text("")
    signature.sign(sums, secret)
    with pytest.raises(BuildError, match="does not list it"):
        signature.verify(exported, public)
    _, other = make(kind, tmp_path, "other")
    with pytest.raises(BuildError, match="not the signature"):
        signature.verify(sums, other)


# what is given as the key, and what is said
NO_KEYS = [(None, "there is no such file"), (b"hello", "no secret key"), (b"\xff\xfe", "no secret key")]


@pytest.mark.parametrize(("content", "said"), NO_KEYS)
def test_what_is_no_key(exported: Path, tmp_path: Path, content: bytes | None, said: str) -> None:
    key = tmp_path / "key"
    if content is not None:
        key.write_bytes(content)
    with pytest.raises(BuildError, match=said) as e:
        signature.sign(exported.with_name(SUMS), key)
    assert str(key) in e.value.message
    assert e.value.hint
    with pytest.raises(BuildError, match=said.replace("secret", "public")):
        signature.verify(exported, key)


def test_a_file_without_a_list_or_signature(tmp_path: Path, exported: Path) -> None:
    _, public = make("OpenSSH", tmp_path, "mine")
    with pytest.raises(BuildError, match=f"{SUMS}.sig: there is no such file"):
        signature.verify(exported, public)
    exported.with_name(SUMS).unlink()
    with pytest.raises(BuildError, match=f"{SUMS}: there is no such file"):
        signature.verify(exported, public)
