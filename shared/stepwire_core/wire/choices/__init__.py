"""What a person chooses: the settings of a session, its chat profile, a question to begin with."""
