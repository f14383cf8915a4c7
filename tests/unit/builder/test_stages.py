"""The stages' command lines, with a mmdebstrap that only writes them down."""

from pathlib import Path

import pytest

from builder import debian, memory, namespace
from builder.errors import BuildError
from builder.lock import Wanted
from builder.stages import Stage, Work
from builder.stages.base import BaseStage
from builder.stages.tools import ToolsStage, wanted
from builder.tools import Tools

from .conftest import FakeTool, debs, make_tree, own_stage

EPOCH = 1_000_000
# Writes the file that its command line names as the target.
TARGET = """
for word; do case "$word" in *.tar) target=$word;; esac; done
echo tar > "$target"
echo $SOURCE_DATE_EPOCH
"""


@pytest.fixture(autouse=True)
def _this_machines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """mmdebstrap is not the tools tree's, as there is none."""
    monkeypatch.setattr(namespace, "why_not", lambda: "no namespaces here")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    (tmp_path / "out").mkdir()
    make_tree(tmp_path / "base", {"root.tar": "base"})
    return Work(tmp_path / "out", {"base": tmp_path / "base", "tools": tmp_path / "tools"}, lambda _: None)


def base_stage(tmp_path: Path, mirror: str = "") -> BaseStage:
    bootstrap = make_tree(tmp_path / "bootstrap", {"etc/apt/apt.conf.d/90": "x"})
    packages = Wanted("trixie", ("amd64",), ("b", "a"), system=True)
    return BaseStage(packages, debs(tmp_path), bootstrap, EPOCH, mirror)


def tools_stage(tmp_path: Path) -> ToolsStage:
    return ToolsStage(wanted("amd64"), debs(tmp_path))


@pytest.mark.parametrize(
    ("mirror", "end"), [("", ["trixie", "root.tar"]), ("http://m/d", ["trixie", "root.tar", "http://m/d"])]
)
def test_the_base_is_bootstrapped(
    tmp_path: Path, work: Work, fake_tool: FakeTool, mirror: str, end: list[str]
) -> None:
    calls = fake_tool("mmdebstrap", TARGET)
    base_stage(tmp_path, mirror).run(work)
    words = calls.read_text().split()
    assert {"--variant=apt", "--include=b,a", "--architectures=amd64", f"--mode={debian.mode()}"} <= set(
        words
    )
    assert [word.rsplit("/out/")[-1] for word in words[-len(end) :]] == end
    assert [p.name for p in work.out.iterdir()] == ["root.tar"]


@pytest.mark.parametrize(("spare", "where"), [(1 << 30, []), (8 << 30, ["--memory", "{}/out/scratch"])])
def test_the_tools_trees_own_mmdebstrap_is_entered(
    tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch, spare: int, where: list[str]
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(namespace, "why_not", lambda: "")

    def note(argv: list[str], **_: object) -> str:
        ran.append([str(word) for word in argv])
        return ""

    monkeypatch.setattr(debian, "run", note)
    monkeypatch.setattr(memory, "spare", lambda: spare)
    own_stage(tmp_path).run(work)
    (argv,) = ran
    assert argv[argv.index("--usr") : argv.index("--variant=apt")] == [
        *("--usr", f"{tmp_path}/tools/tree/usr", *(word.format(tmp_path) for word in where)),
        *("--", "sh", "-c", debian.PACK, "sh", f"{work.out}/root.tar", f"{work.out}/scratch/root"),
        *("mmdebstrap", "--mode=root", "--format=directory"),
    ]
    mounted = f"mount --bind {work.out}/packages "
    assert [word.split(" && ")[-1] for word in argv if mounted in word] == [f'{mounted}"$1/.packages"']
    assert [word for word in argv if 'umount "$1/.packages" && rmdir' in word]
    assert not [*work.out.iterdir()]
    assert debian.maker() == "mmdebstrap of the tools tree"


def test_what_is_made_with_this_machines_own_says_so(tmp_path: Path, fake_tool: FakeTool) -> None:
    fake_tool("mmdebstrap", "echo mmdebstrap 1.2")
    said = base_stage(tmp_path).inputs()["made with"]
    assert said == "mmdebstrap of this machine, mmdebstrap 1.2: no namespaces here"


def test_what_an_image_adds_goes_into_the_base(tmp_path: Path, work: Work, fake_tool: FakeTool) -> None:
    listing = tmp_path / "listing"
    calls = fake_tool("mmdebstrap", f"{TARGET}ls {work.out}/packages > {listing}")
    stage = own_stage(tmp_path)
    stage.run(work)
    line = calls.read_text()
    assert f"--file {tmp_path}/base/root.tar " in line
    assert f'cp -r {work.out}/packages "$1/.packages"' in line  # nothing can be mounted here
    assert "--include=nano,zerotier-one " in line
    assert f"{stage.zerotier.sha256}.deb" in listing.read_text().split()
    assert [p.name for p in work.out.iterdir()] == ["root.tar"]


def test_the_tools_become_a_tree_of_plain_files(tmp_path: Path, work: Work, fake_tool: FakeTool) -> None:
    stage = tools_stage(tmp_path)
    fake_tool("dpkg-deb", 'mkdir -p "$3/usr/sbin" && echo elf > "$3/usr/sbin/mke2fs"')
    stage.run(work)
    assert (work.out / "tree/usr/sbin/mke2fs").read_text() == "elf\n"
    assert [p.name for p in work.out.iterdir()] == ["tree"]


def test_tools_run_through_their_own_loader(tmp_path: Path) -> None:
    words = [str(word) for word in Tools(tmp_path, EPOCH).argv("usr/sbin/mke2fs", ["-q"])]
    assert words == [
        f"{tmp_path}/usr/lib64/ld-linux-x86-64.so.2",
        "--library-path",
        f"{tmp_path}/usr/lib/x86_64-linux-gnu",
        f"{tmp_path}/usr/sbin/mke2fs",
        "-q",
    ]


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        ("E: Unable to connect to mirror:80:", "--mirror URL"),
        ("tar: write error: No space left on device", "no space left"),
        ("E: failed to parse /etc/subuid and /etc/subgid", "add-subuids"),
        ("E: something else", ""),
    ],
)
def test_mmdebstraps_failures_are_explained(
    tmp_path: Path, work: Work, fake_tool: FakeTool, monkeypatch: pytest.MonkeyPatch, output: str, hint: str
) -> None:
    monkeypatch.setattr(debian, "mode", lambda: "unshare")
    fake_tool("mmdebstrap", f"echo '{output}'; exit 25")
    with pytest.raises(BuildError) as e:
        base_stage(tmp_path).run(work)
    assert output in e.value.message
    assert hint in e.value.hint
    assert bool(hint) == bool(e.value.hint)


@pytest.mark.parametrize("make", [base_stage, own_stage])
def test_a_missing_mmdebstrap_is_found_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object
) -> None:
    assert callable(make)
    stage: Stage = make(tmp_path)
    monkeypatch.setattr(debian, "which", lambda _: None)
    with pytest.raises(BuildError, match="mmdebstrap is not installed"):
        stage.verify()


def test_stages_depend_on_what_they_are_made_of(tmp_path: Path) -> None:
    base = base_stage(tmp_path)
    assert base.inputs()["packages"] == ("a", "b")
    assert "overlays/bootstrap/etc/apt/apt.conf.d/90" in base.inputs()
    assert "builder/stages/base.py" in base.inputs()
    own = own_stage(tmp_path)
    assert own.inputs()["zerotier package"] == own.zerotier.sha256
    assert own.inputs()["packages"] == ("nano",)
