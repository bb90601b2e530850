"""The gateway: an ASGI application that serves sessions over HTTP and Server-Sent Events."""

from stepwire_gateway._running import running
from stepwire_gateway.app import create_app

__all__ = ["create_app", "running"]
