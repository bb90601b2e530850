"""What the worker and the gateway both speak: events, the event log on Redis, settings, errors."""
