"""The command line: ``stepwire dev | worker | gateway | tail | send | answer``."""
