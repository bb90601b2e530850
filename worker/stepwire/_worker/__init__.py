"""The worker process around the runs: its loop, its jobs, its leases."""
