"""The choices of a person: the settings of a session, its chat profile, a starter."""
