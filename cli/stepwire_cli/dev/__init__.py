"""``stepwire dev``: server, worker and gateway on one machine."""
