"""The pictures of the inspector in docs/pictures, taken from real processes: `make pictures`."""
