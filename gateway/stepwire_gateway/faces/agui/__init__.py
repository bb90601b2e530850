"""AG-UI: the events of a run for its published clients (``@ag-ui/client``, CopilotKit)."""
