"""Which faces are served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stepwire_core.settings import listed
from stepwire_gateway.faces.agui import routes as agui
from stepwire_gateway.faces.aisdk import routes as aisdk

if TYPE_CHECKING:
    from fastapi import APIRouter

    from stepwire_core.settings import Settings

_ROUTERS: Final[dict[str, APIRouter]] = {"aisdk": aisdk.router, "agui": agui.router}


def routers(settings: Settings) -> list[APIRouter]:
    """Those of the faces that ``STEPWIRE_FACES`` names."""
    return [_ROUTERS[name] for name in _ROUTERS if name in listed(settings.faces)]
