"""The user's handlers: their names, their policies, how their module is loaded."""
