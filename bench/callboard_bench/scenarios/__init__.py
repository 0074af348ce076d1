"""One module per kind of load; each runs its rounds and returns a :class:`rounds.Result`."""
