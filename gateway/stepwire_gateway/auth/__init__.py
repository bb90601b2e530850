"""Which caller sends a request, and what it may do."""
