"""The reference: mmdebstrap, which makes a tar of the packages, and no image."""

from lab.bench.tools import COLD, Recipe, Task

NAME = "mmdebstrap"


def recipe(task: Task) -> Recipe:
    """Without options that would save it work."""
    source = f"deb {task.mirror} {task.suite} main"
    command = f"mmdebstrap --variant=apt --include={','.join(task.packages)} {task.suite} root.tar '{source}'"
    return Recipe(NAME, "a tar, no image", NAME, {COLD: command}, result="root.tar")
