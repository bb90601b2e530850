"""The queue of runs, its workers and its dead letters."""
