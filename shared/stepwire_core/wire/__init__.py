"""The wire: documents, events, and how they are built."""
