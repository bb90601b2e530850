"""The Agent Streaming Protocol, version 2, for LangGraph's ``useStream``, unchanged."""
