"""Microbenchmarks: what single steps of the code cost, compared with an earlier run.

1. A *benchmark* does one operation over and over in a *body* (:mod:`benchmark`). Those of the
   protocol are in :mod:`protocol`; those of the server and the scheduler, which this package may
   not import, are given to :func:`~callboard_bench.micro.command.micro_command` by the roof.
2. Every benchmark is timed once per round (:mod:`timing`), round after round, so that a machine
   that slows down meanwhile slows all of them. A round has a process of its own (:mod:`rounds`).
   In the first, each body is tried until it is known how many turns fill a slice of time.
3. What computes is timed by the CPU time of the process, which others on the machine do not take
   away; what waits for a disk is timed by the clock on the wall, and said to be. The garbage
   collector runs before each round and is off during it.
4. Before each timing runs a short one of the *calibration* loop (:mod:`calibration`), always the
   same work in Python and OpenSSL. A time divided by the calibration's median of its round can be
   compared with that of another day.
5. A comparison with a saved run (:mod:`record`, :mod:`comparison`) gives a verdict only where the
   spreads of the two do not overlap, and none across machines.
"""
