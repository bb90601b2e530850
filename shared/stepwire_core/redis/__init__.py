"""Redis itself: connections, scripts, keys, and what its errors mean."""
