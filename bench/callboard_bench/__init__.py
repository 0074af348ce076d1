"""Load for any server that speaks the Pusher protocol, and what came of it: ``callboard bench``.

How a run works:

1. A *target* is a server under load (:mod:`targets.target`): one that runs already, one that a
   command starts, ``callboard serve``, or a floor, the least that any server in this language
   could do (:mod:`floor`). All of them get the same load, and a scenario cannot tell them apart.
2. A *round* opens one target, loads it, samples its processes from /proc and leaves it. Rounds
   interleave (A B A B), so that a machine that drifts drifts for all of them, and ratios are
   taken within a round (:mod:`run`).
3. The load comes from *generators*, processes of their own (:mod:`generator`); their CPU share is
   reported, with a warning when they, and not the server, may have been the limit.
4. Every delivery is audited per subscriber for loss, duplicates and order (:mod:`audit`).
5. What was measured is one document, of which the table, the JSON and the page are views
   (:mod:`rounds`, :mod:`report`).

Read in this order: :mod:`cli`, :mod:`command`, :mod:`scenario`, :mod:`scenarios.fanout`,
:mod:`clients.subscribers`, :mod:`floor`.
"""
