"""Which events of a thread a subscription takes: its channels, namespaces and depth."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

_CHANNELS: Final = {"input.requested": "input", "input.answered": "input"}


class Subscription(BaseModel):
    """``POST …/stream/events``. ``since`` is not read: events have no numbers, and every stream
    begins with what the session is now."""

    model_config = ConfigDict(extra="allow")

    channels: list[str] = Field(min_length=1, max_length=100)
    namespaces: list[list[str]] | None = Field(default=None, max_length=1000)
    depth: int | None = Field(default=None, ge=0)

    def takes(self, event: dict[str, Any]) -> bool:
        params = event["params"]
        return self._has_channel(event["method"], params["data"]) and self._reaches(
            params["namespace"]
        )

    def _has_channel(self, method: str, data: dict[str, Any]) -> bool:
        channel = _CHANNELS.get(method, method)
        if channel == "custom" and f"custom:{data['name']}" in self.channels:
            return True
        if channel == "values" and "messages" not in self.channels:
            # They name messages, whose texts come by that channel.
            return False
        return channel in self.channels

    def _reaches(self, namespace: list[str]) -> bool:
        if not self.namespaces:
            return True
        return any(
            _is_below(namespace, prefix)
            and (self.depth is None or len(namespace) - len(prefix) <= self.depth)
            for prefix in self.namespaces
        )


def _is_below(namespace: list[str], prefix: list[str]) -> bool:
    """Segments are compared whole, or by their names where the prefix has a name alone."""
    return len(prefix) <= len(namespace) and all(
        segment in (found, found.partition(":")[0])
        for segment, found in zip(prefix, namespace, strict=False)
    )
