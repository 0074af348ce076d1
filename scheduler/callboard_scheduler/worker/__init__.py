"""The Python worker: functions that run when a scheduler gives this process their tasks.

Read in this order: :mod:`phases`, :mod:`signs_of_life`, :mod:`assignments`, :mod:`settled`,
:mod:`outbox`, :mod:`packing`, :mod:`bucket`, :mod:`pulse`, :mod:`work` and :mod:`session` (what
is decided, without IO), then :mod:`arguments`, :mod:`context`, :mod:`handlers` and :mod:`running`
(the user's functions), :mod:`service`, :mod:`app_check`, :mod:`large_values`, :mod:`forking` and
:mod:`link` (the connection and its thread), and :mod:`worker`.
"""
