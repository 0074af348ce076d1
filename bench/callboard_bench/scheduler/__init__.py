"""What the task scheduler does with real workers, measured over its public interfaces.

How a workload runs:

1. A *stage* (:mod:`stage`) is ``callboard serve`` with a data directory of its own, started
   afresh, and workers started with ``callboard worker``. Server, workers and this process are
   separate processes on loopback; what is submitted is on the disk before it is acknowledged.
2. The workers run one module (:mod:`program`). The body of each task makes one ``write`` to a
   file that all of them append to: the number of the task, the monotonic time, the process. That
   clock is the same in every process of the machine, so a line minus the time of submitting is
   the latency.
3. The number of a task is the time in ns at which it was submitted, or at which it was due where
   the server was late with an answer (:mod:`pace`), so a stall counts.
4. Every workload is audited (:mod:`audit`): what was acknowledged has one record that has
   finished, and it was started as often as it should have been. A fault makes the exit status 1.
5. Peers (:mod:`peers`) run the same body with the same probe in the same rounds, each in an
   environment of its own with a Redis or PostgreSQL of its own.

Read in this order: :mod:`workload`, :mod:`stage`, :mod:`latency`, :mod:`losses`, :mod:`workloads`.
"""
