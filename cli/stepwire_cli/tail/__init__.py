"""``stepwire tail``: a session, live in the terminal."""
