"""The UI message stream of the AI SDK (npm ``ai`` 5 to 7), for its ``useChat``, unchanged."""
