"""What users put into a session: steps, messages, and the facts about them."""
