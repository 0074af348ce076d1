"""The front: every listener's bytes arrive here as HTTP.

:mod:`~callboard_server.front.http` parses requests with httptools and keeps the kinds that this
server exists for: WebSocket upgrades, the signed API under ``/apps/``, and what clients ask for in
place of a WebSocket, which takes as long as they stay
(:mod:`~callboard_server.front.exchange`). Any other request is handed to aiohttp
(:mod:`~callboard_server.front.pages`).
"""
