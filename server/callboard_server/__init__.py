"""The server: who is connected and who hears what.

A message's way, module by module: :mod:`front` parses HTTP and hands over, :mod:`api` checks
and validates, a broker in :mod:`brokers` publishes, :mod:`hub` finds the subscribers,
:mod:`outbox` writes one prebuilt frame to each. :mod:`connection` is one client's side of it,
:mod:`websocket` its transport, and :mod:`server` starts and ends the whole.
"""
