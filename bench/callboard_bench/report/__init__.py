"""A result for the terminal, for programs, for a browser, and while it comes about."""
