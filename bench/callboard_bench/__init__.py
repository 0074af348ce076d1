"""What a Pusher-compatible server holds, measured next to the floor in the same run.

How a run works:

1. A *contender* is a server started for the run on loopback: ``callboard serve``, or a floor,
   the least that any server in this language could do (:mod:`floor`). All of them get the
   same client load.
2. A *round* starts one contender afresh, loads it, samples its process from /proc and stops
   it. Rounds interleave (A B A B), so that a machine that drifts drifts for all of them, and
   ratios are taken within a round.
3. The load comes from a *generator* process of its own (:mod:`generator`); the publisher and
   the probe run in the main process. The CPU share of both is reported, with a warning when
   they, and not the server, may have been the limit.
4. Every delivery is audited per subscriber for loss, duplicates and order (:mod:`audit`).

Read in this order: :mod:`cli`, :mod:`scenarios.broadcast`, :mod:`subscribers`, :mod:`floor`.
"""
