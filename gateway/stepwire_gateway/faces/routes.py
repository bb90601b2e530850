"""Which faces are served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stepwire_core.settings import listed
from stepwire_gateway.faces.agui import routes as agui
from stepwire_gateway.faces.aisdk import numbered_routes as numbered
from stepwire_gateway.faces.aisdk import routes as aisdk
from stepwire_gateway.faces.copilotkit import routes as copilotkit
from stepwire_gateway.faces.copilotkit import threads

if TYPE_CHECKING:
    from fastapi import APIRouter

    from stepwire_core.settings import Settings

_ROUTERS: Final[dict[str, tuple[APIRouter, ...]]] = {
    "aisdk": (aisdk.router, numbered.router),
    "agui": (agui.router,),
    "copilotkit": (copilotkit.router, threads.router),
}


def routers(settings: Settings) -> list[APIRouter]:
    """Those of the faces that ``STEPWIRE_FACES`` names."""
    named = listed(settings.faces)
    return [router for name, own in _ROUTERS.items() if name in named for router in own]
