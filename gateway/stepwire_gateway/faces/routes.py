"""Which faces are served."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from stepwire_core.settings import listed

if TYPE_CHECKING:
    from fastapi import APIRouter

    from stepwire_core.settings import Settings

_MODULES: Final = {
    "aisdk": ("aisdk.routes", "aisdk.numbered_routes"),
    "agui": ("agui.routes",),
    "copilotkit": ("copilotkit.routes", "copilotkit.threads"),
    "langgraph": ("langgraph.routes",),
}
"""Where the routers of each face are. A gateway loads those that it serves, and no others."""


def routers(settings: Settings) -> list[APIRouter]:
    """Those of the faces that ``STEPWIRE_FACES`` names."""
    named = listed(settings.faces)
    return [
        import_module(f"stepwire_gateway.faces.{module}").router
        for face, modules in _MODULES.items()
        if face in named
        for module in modules
    ]
