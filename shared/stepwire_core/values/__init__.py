"""Plain values that everything else is made of: ids, cursors, times, text."""
