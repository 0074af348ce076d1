"""The commands about tasks: each module is one group of ``callboard``.

They import click alone; what a command needs is imported when it runs, so that the others and
``--help`` do not pay for it. :mod:`calling` is the way to the scheduler and back, with the exit
statuses; :mod:`parameters` reads what people type, and :mod:`output` writes what they read.
"""
