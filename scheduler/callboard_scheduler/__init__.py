"""Tasks given to whoever is free. Nothing here yet: the package holds its place and its name."""
