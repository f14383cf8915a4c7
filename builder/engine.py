"""Running a build's stages in their order: what the cache has is taken, the rest is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builder.inputs import Inputs, identity
from builder.stages import Stage, Work
from builder.store import Store


class Observer(Protocol):
    """Hears what a build is doing; the engine itself prints nothing."""

    def waiting(self, text: str) -> None:
        """Something that is waited for."""

    def note(self, text: str) -> None:
        """Something worth knowing about the whole build."""

    def cached(self, stage: str, age_days: int) -> None:
        """A stage's artifact came from the cache."""

    def aside(self, stage: str, reason: str) -> None:
        """A stage that another one would have used is left out, for a reason."""

    def started(self, stage: str, reason: str, expected: float | None) -> None:
        """A stage runs, for a reason; the last one like it took the `expected` seconds."""

    def line(self, text: str) -> None:
        """A line of a running tool's output."""

    def finished(self, stage: str, seconds: float) -> None:
        """A stage has run."""


@dataclass(frozen=True)
class StageResult:
    """What happened to a stage."""

    name: str
    id: str
    action: str  # ran | cached | aside
    reason: str
    seconds: float
    inputs: Inputs


Made = Callable[[str, Path], None]  # a stage's name and its artifact


def resume(
    stages: Sequence[Stage],
    store: Store,
    observer: Observer,
    aside: Mapping[str, str] | None = None,
    made: Made = lambda stage, artifact: None,
) -> tuple[list[StageResult], dict[str, Path]]:
    """Run the stages that the cache does not have; all of these are verified before the first one runs.

    `aside` says which are left out, and why: others can do without their artifacts, and come out the same. So
    they have their part in the others' ids all the same. `made` hears of each artifact that there is.
    """
    aside = aside or {}
    ids: dict[str, str] = {}
    wanted: set[str] = set()
    for stage in stages:
        ids[stage.name] = identity(stage.name, _inputs(stage, ids))
        if stage.name in aside:
            continue
        if store.find(stage.name, ids[stage.name]) is None:
            stage.verify()
            wanted.update(stage.needs)
    results: list[StageResult] = []
    artifacts: dict[str, Path] = {}
    for stage in stages:
        # Looked at anew: somebody may have edited an overlay while the base was being made.
        inputs = _inputs(stage, ids)
        ids[stage.name] = identity(stage.name, inputs)
        if stage.name in aside:
            if stage.name in wanted:
                observer.aside(stage.name, aside[stage.name])
            results.append(StageResult(stage.name, ids[stage.name], "aside", aside[stage.name], 0.0, inputs))
            continue
        result = _one(stage, inputs, ids[stage.name], store, observer, artifacts)
        results.append(result)
        made(stage.name, artifacts[stage.name])
    return results, artifacts


@dataclass(frozen=True)
class Outlook:
    """What a build would do about a stage, and why; artifact is None where it would run."""

    name: str
    artifact: Path | None
    reason: str


def look_ahead(
    stages: Sequence[Stage], store: Store, aside: Mapping[str, str] | None = None
) -> list[Outlook]:
    """The same decisions as resume() makes; nothing is made, but what is found counts as used."""
    aside = aside or {}
    ids: dict[str, str] = {}
    found: list[Outlook] = []
    for stage in stages:
        inputs = _inputs(stage, ids)
        ids[stage.name] = identity(stage.name, inputs)
        artifact = None if stage.name in aside else store.find(stage.name, ids[stage.name])
        if stage.name in aside:
            reason = aside[stage.name]
        elif artifact:
            reason = f"made {store.age_days(artifact)} days ago"
        else:
            reason = store.missed(stage.name, inputs).reason
        found.append(Outlook(stage.name, artifact, reason))
    return found


def identify(stages: Sequence[Stage]) -> dict[str, Inputs]:
    """What each stage depends on, without running any."""
    ids: dict[str, str] = {}
    every: dict[str, Inputs] = {}
    for stage in stages:
        every[stage.name] = _inputs(stage, ids)
        ids[stage.name] = identity(stage.name, every[stage.name])
    return every


def _inputs(stage: Stage, ids: Mapping[str, str]) -> Inputs:
    """All that a stage depends on: its own inputs and the stages that it needs."""
    return {**stage.inputs(), **{f"stage {name}": ids[name] for name in stage.needs}}


def _one(
    stage: Stage,
    inputs: Inputs,
    id_: str,
    store: Store,
    observer: Observer,
    artifacts: dict[str, Path],
) -> StageResult:
    found = store.find(stage.name, id_)
    if found is not None:
        days = store.age_days(found)
        observer.cached(stage.name, days)
        artifacts[stage.name] = found
        return StageResult(stage.name, id_, "cached", f"nothing changed; made {days} days ago", 0.0, inputs)
    miss = store.missed(stage.name, inputs)
    observer.started(stage.name, miss.reason, miss.expected)
    began = time.monotonic()
    with store.making(stage.name, id_, inputs) as directory:
        stage.run(Work(directory, artifacts, observer.line))
    seconds = round(time.monotonic() - began, 1)
    observer.finished(stage.name, seconds)
    artifacts[stage.name] = store.root / stage.name / id_
    return StageResult(stage.name, id_, "ran", miss.reason, seconds, inputs)
