"""`build.py client`: the files that are handed out, and what stops it."""

import stat
from pathlib import Path

import pytest
from ztgate.kit import FILES

from builder import kit
from builder.errors import BuildError

VALID = "network: 8056c2e21c000001\ngateway: {name: attic}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(VALID)
    return path


def test_every_file_is_written_and_explained(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "kit"
    written = kit.write(config, out)
    assert {path.name for path in written} == {*FILES, "README.txt"} == {p.name for p in out.iterdir()}
    for path in written:
        assert "8056c2e21c000001" in path.read_text(encoding="utf-8")
        script = path.suffix in (".sh", ".ps1")
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if script else 0o644), path
        assert path.name == "README.txt" or path.name in (out / "README.txt").read_text()
    kit.write(config, out)  # the same again is no mistake


def test_another_file_is_not_replaced(config: Path, tmp_path: Path) -> None:
    (tmp_path / "join.sh").write_text("mine\n")
    with pytest.raises(BuildError, match=r"join\.sh is there, and is not what .*gateway\.yaml gives"):
        kit.write(config, tmp_path)
    assert (tmp_path / "join.sh").read_text() == "mine\n"
    assert not (tmp_path / "README.txt").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "there is no such file"), ("network: 1\n", "network"), (f"{VALID}netwrok: x\n", "netwrok")],
)
def test_a_bad_configuration_is_named(text: str | None, message: str, tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    if text is not None:
        config.write_text(text)
    with pytest.raises(BuildError) as caught:
        kit.write(config, tmp_path / "out")
    assert message in caught.value.message
    assert not (tmp_path / "out").exists()
