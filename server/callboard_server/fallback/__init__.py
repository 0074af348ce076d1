"""HTTP in place of a WebSocket, as pusher-js speaks it where a proxy lets nothing else through.

:mod:`~callboard_server.fallback.lines` is the wire form,
:mod:`~callboard_server.fallback.session` a client that comes by one response after the other, and
:mod:`~callboard_server.fallback.routes` what can be asked of it.
"""
