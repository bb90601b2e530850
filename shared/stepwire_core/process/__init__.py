"""What a process checks before it starts, and what it watches afterwards."""
