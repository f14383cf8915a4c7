"""What people type by mistake: each verb has one error for it at once, that names it and what to do next."""

from pathlib import Path

import pytest

from lab.standin import deb

from .test_cli import Run, build_py

__all__ = ["build_py"]  # a fixture

MISTAKES = [
    (["build", "vps-amd64", "--zerotier", "/etc"], "error: --zerotier /etc: it is a directory\nhint:  "),
    (["build", "vps-amd64", "--config", "/etc"], "error: /etc: it is a directory\nhint:  a gateway.yaml"),
    (["why", "vps-amd64", "--zerotier", "/no.deb"], "--zerotier /no.deb: there is no such file\nhint:  "),
    (["lock", "vps-amd64", "--zerotier", "/no.deb"], "--zerotier /no.deb: there is no such file\nhint:  "),
    (["configure", "/etc", "--config", "/no.yaml"], "error: /etc: it is a directory\nhint:  "),
    (["configure", __file__, "--config", "/no.yaml"], "no ztgate image: it has no partition table\nhint:  "),
    (["configure", "vps-amd46", "--batch", "/no.csv"], "vps-amd46: there is no such file\nhint:  "),
    (["check", "vps-amd64", "--target", "azure"], "there is no target 'azure'; nearest: vultr\nhint:  "),
    (["export", "/etc"], "error: /etc: it is a directory\nhint:  ./build.py list"),
    (["export", "vps-amd64", "--format", "qcow"], "--format qcow: no such format; nearest: qcow2\nhint:  "),
    (["verify", "/etc"], "error: /etc: it is a directory\nhint:  "),
    (["verify", "/no.img"], "error: /no.img: there is no such file\nhint:  "),
    (["client", "--config", "/etc", "--out", "/no"], "error: /etc: it is a directory\nhint:  "),
    (["client", "--config", "/no.yaml", "--out", "/no"], "/no.yaml: there is no such file\nhint:  "),
    (["schema", "image", "--out", __file__], ".py: it is a file, and a directory is needed\nhint:  "),
    (["clean", "--cache", __file__], ".py: there is no cache\nhint:  "),
    (["flash", "/etc", "/dev/null"], "error: /etc: it is a directory\nhint:  ./build.py list"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_each_has_its_error(build_py: Run, words: list[str], message: str, tmp_path: Path) -> None:
    if words[0] == "build":
        words = [*words, "--cache", str(tmp_path / "c"), "--out", str(tmp_path / "o")]
    done = build_py(*words)
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


@pytest.mark.parametrize("option", ["--out", "--cache"])
def test_a_file_where_a_directory_is_needed(
    build_py: Run, standin: Path, option: str, tmp_path: Path
) -> None:
    """It is said before the work and not after it."""
    places = {"--out": tmp_path / "o", "--cache": tmp_path / "c", option: Path(__file__)}
    words = [word for pair in places.items() for word in pair]
    done = build_py("build", "vps-amd64", "--zerotier", standin, *words)
    assert done.status == 1
    assert done.stderr.startswith(f"error: {__file__}: it is a file, and a directory is needed\nhint:  ")


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deb.build(tmp_path_factory.mktemp("standin"))


def test_the_name_of_an_image_instead_of_its_file(
    build_py: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/vps-amd64.img").touch()
    done = build_py("configure", "vps-amd64", "--config", "gateway.yaml")
    assert done.stderr == "error: vps-amd64: there is no such file\nhint:  do you mean out/vps-amd64.img?\n"
