"""The front: every listener's bytes arrive here as HTTP.

:mod:`~callboard_server.front.http` parses requests with httptools and keeps the two kinds that
this server exists for: WebSocket upgrades and the signed API under ``/apps/``. Any other request
is handed to aiohttp (:mod:`~callboard_server.front.pages`).
"""
