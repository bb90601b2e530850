"""To and from Redis: what this process emits, and what it is told."""
