"""From the log to every reader of this process."""
