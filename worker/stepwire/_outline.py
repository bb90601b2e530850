"""The steps of a session as a tree, for tests to read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stepwire_core.wire.documents import StepDocument


@dataclass(frozen=True, repr=False)
class Branch:
    """A step of the tree, and those below it in the order of their starts.

    It has the fields of the step (``name``, ``type``, ``status``, ``input``, ``output``, …);
    ``branch["name"]`` is the first step of that name below it, at any depth.
    """

    step: StepDocument | None
    children: list[Branch] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self.step is None:
            raise AttributeError(name)
        return getattr(self.step, name)

    def __getitem__(self, name: str) -> Branch:
        for branch in self.walk():
            if branch.step is not None and branch.step.name == name and branch is not self:
                return branch
        raise KeyError(f"no step {name!r} in\n{self}")

    def __contains__(self, name: object) -> bool:
        return any(branch.step is not None and branch.step.name == name for branch in self.walk())

    def walk(self) -> Iterator[Branch]:
        """This branch and all below it, each before those below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def __repr__(self) -> str:
        """One line, for an assertion that fails."""
        below = ", ".join(child.step.name for child in self.children if child.step is not None)
        if self.step is None:
            return f"<the steps {below or 'of an empty session'}>"
        line = f"<{self.step.name} ({self.step.type}) {self.step.status}"
        return f"{line} with {below}>" if below else f"{line}>"

    def __str__(self) -> str:
        """An outline, for a test that fails: name, status and the beginning of the output."""
        return "\n".join(_lines(self, 0)) or "(no steps)"


def _lines(branch: Branch, depth: int) -> Iterator[str]:
    if branch.step is not None:
        step = branch.step
        line = f"{'  ' * depth}{step.name} ({step.type}) {step.status}"
        yield f"{line}  {step.output[:60]}".replace("\n", " ").rstrip()
        depth += 1
    for child in branch.children:
        yield from _lines(child, depth)


def grown(steps: Sequence[StepDocument]) -> Branch:
    """The tree of steps that are in the order of their starts."""
    root = Branch(None)
    branches = {step.id: Branch(step) for step in steps}
    for branch in branches.values():
        parent = branches.get(branch.parent_id or "", root)
        parent.children.append(branch)
    return root
