"""The roof: the command line, the configuration, and what a person sees.

Everything else is below and does not know this package. :mod:`cli` is what is typed, :mod:`serve`
runs the server until a signal, :mod:`configuration` gathers the settings from flags,
:mod:`environment`, :mod:`toml_file` and defaults, all by :mod:`fields` of the settings' structure,
and :mod:`reference` writes the same down for people.
"""
