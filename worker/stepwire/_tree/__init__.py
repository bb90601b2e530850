"""What users put into a session: steps, messages, and what is told of them."""
