"""What users put into a session: steps, messages, elements."""
