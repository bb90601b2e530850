"""Commands for those who run stepwire: workers, runs, retries."""
