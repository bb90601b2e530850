"""Handlers that wait: for a person's answer, or for another worker's result."""
