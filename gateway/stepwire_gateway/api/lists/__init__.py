"""The lists: the sessions of a caller; the runs and workers of an installation."""
