"""What is on the wire: documents, events, and how they are built."""
