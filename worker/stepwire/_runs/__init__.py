"""One run of a handler, from its beginning to its stored end."""
