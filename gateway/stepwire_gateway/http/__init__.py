"""HTTP beyond the framework: connections, bodies, ranges, problem details."""
