"""Commands for the operators of stepwire: workers, runs, retries."""
