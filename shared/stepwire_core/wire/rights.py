"""What a token may allow in the sessions that it names."""

from typing import Final, Literal, get_args

Right = Literal["read", "write", "cancel", "admin"]

RIGHTS: Final[tuple[Right, ...]] = get_args(Right)
