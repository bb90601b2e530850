"""A process: its checks before it starts, and the supervision afterwards."""
