"""Where the running code stands: its session, its run, its place in the tree."""
