"""Other task queues in Python under the workloads that they share with ours: W1, W3, W4 and W5.

1. A *peer* (:mod:`programs`) is a package from PyPI, the module that its worker runs, which holds
   the same probe, and a producer that submits with the package's own calls, one task each.
2. Every peer has an environment of its own, kept from run to run (:mod:`environments`); every
   round has an empty Redis or PostgreSQL of its own (:mod:`brokers`), on loopback.
3. What a row promises is said with it: the class of durability, which is the same for all peers
   of a run, and how many tasks a worker runs at a time.
4. Workers may be trees of processes (:mod:`trees`): what they cost is the tree's, and a kill
   leaves nothing of it.
"""
