"""The rights that a token may give in the sessions that it names."""

from typing import Final, Literal, get_args

Right = Literal["read", "write", "cancel", "admin"]

RIGHTS: Final[tuple[Right, ...]] = get_args(Right)
