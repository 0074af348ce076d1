"""What the bytes of the Pusher Channels protocol mean, without a socket, a clock or a loop.

Read in this order: :mod:`channels` (names and kinds), :mod:`signatures` (who may join),
:mod:`messages` (what a client says and what it hears), :mod:`refusals` (the texts and codes
for a mistake), :mod:`rest_signature` and :mod:`rest` (the signed HTTP API), :mod:`frames`
(one text message as WebSocket bytes).
"""

__version__ = "0.1.0"
