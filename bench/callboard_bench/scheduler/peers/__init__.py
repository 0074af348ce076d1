"""Other task queues in Python under the workloads that they share with ours: W1, W3 and W4.

1. A *peer* (:mod:`programs`) is a package from PyPI, the module that its worker runs, which holds
   the same probe, and a producer that submits with the package's own calls, one task each.
2. Every peer has an environment of its own, made for the run (:mod:`environments`), for their
   pins of the Redis client exclude each other; and every round has a Redis of its own
   (:mod:`redis_server`), an append-only file on, on loopback.
3. What a row promises stands in its name: with ``always`` Redis waits for the disk before it
   acknowledges, as Callboard does; with ``everysec`` a power cut loses a second; with ``no`` a
   restart loses everything. What becomes of a task whose worker is killed is not measured here.
"""
