"""Files, tables and plots that steps and messages show."""
