"""What is measured: servers that run already, and servers started for the run.

:mod:`~callboard_bench.targets.target` is all that a scenario sees of one.
"""
