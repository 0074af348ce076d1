"""The first part: an event's whole way, from the official library to a subscriber."""

from __future__ import annotations

import asyncio
import json
from typing import Final

import pusher

from callboard.demo.processes import APP_ID, KEY, WAIT_SECONDS
from callboard_client import Client, SecretAuthorizer

_CHANNELS: Final = ("public-news", "private-orders", "presence-lobby")


async def show_an_event(port: int, secret: str) -> None:
    """Subscribe to three channels, trigger one event on them, and show what arrives."""
    member = {"user_id": "ada", "user_info": {"name": "Ada"}}
    authorizer = SecretAuthorizer(KEY, secret, member)
    async with Client(KEY, "127.0.0.1", port, authorizer=authorizer) as client:
        await client.connected(WAIT_SECONDS)
        channels = [await client.subscribe(name) for name in _CHANNELS]
        print(f"A subscriber is connected as {client.socket_id} and on {', '.join(_CHANNELS)}")

        backend = pusher.Pusher(
            app_id=APP_ID, key=KEY, secret=secret, host="127.0.0.1", port=port, ssl=False
        )
        await asyncio.to_thread(
            backend.trigger, list(_CHANNELS), "greeting", {"text": "hello from the pusher library"}
        )
        print("The official pusher library has triggered one event on the three; what arrived:")
        for channel in channels:
            event = await channel.get(WAIT_SECONDS)
            print(f"   {event.channel:15} {event.event}  {event.data}")
        users = await asyncio.to_thread(backend.users_info, "presence-lobby")
        print(f"   and the API says who is in presence-lobby: {json.dumps(users['users'])}\n")
