"""The event log of a session and its folded state, kept by Lua scripts."""
