"""Other people's code, shown as steps without touching it: one module a library, each an extra."""
