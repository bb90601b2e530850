"""The gateway: an ASGI application that serves sessions over HTTP and Server-Sent Events."""

from stepwire_gateway.app import create_app
from stepwire_gateway.mounted import running

__all__ = ["create_app", "running"]
