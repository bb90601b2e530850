"""Steps, runs and requests as spans of OpenTelemetry."""
