"""What people choose: the settings of a session, a chat profile, a question to begin with."""
