"""What becomes of the values that users pass: checked attributes, JSON, the text that is shown."""
