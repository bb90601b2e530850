"""Where a handler is defined, and whether another one of its name is the same, read again."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType


@dataclass(frozen=True, slots=True)
class Definition:
    """The statement that has made a function a handler."""

    file: str
    line: int
    code: CodeType
    """The code that the statement stands in: a module's, or a function's."""
    instruction: int

    @classmethod
    def of_caller(cls, module: str) -> Definition:
        """The statement that has called into ``module``, from outside it."""
        frame = inspect.currentframe()
        while frame is not None and frame.f_globals.get("__name__") in (__name__, module):
            frame = frame.f_back
        if frame is None:
            raise RuntimeError(f"{module} has no caller")
        file = os.path.abspath(frame.f_code.co_filename)  # noqa: PTH100 - may be "<stdin>"
        return cls(file, frame.f_lineno, frame.f_code, frame.f_lasti)

    def is_beside(self, other: Definition) -> bool:
        """Whether both stand in the same module, or the same function."""
        return (self.file, self.code.co_qualname) == (other.file, other.code.co_qualname)

    def is_again(self, other: Definition) -> bool:
        """Whether it takes the other's place: the same statement once more, or the same file.

        A file that is read again (reloaded, or imported as ``__main__`` and by its name) has code
        objects of its own each time, whether or not it was edited in between.
        """
        return self.is_beside(other) and (
            self.code is not other.code or self.instruction == other.instruction
        )

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"
