"""The apps that the SDKs meet: one as most people have it, and one for each way to be refused."""

from __future__ import annotations

import base64

from callboard_server.settings import AppSettings

# The official Python library takes digits only for an app id.
APP = AppSettings(id="101", key="interop-key", secret="interop-secret", client_events=True)
WITHOUT_CLIENT_EVENTS = AppSettings(id="102", key="plain-key", secret="plain-secret")
DISABLED = AppSettings(id="103", key="disabled-key", secret="disabled-secret", enabled=False)
SMALL = AppSettings(id="104", key="small-key", secret="small-secret", max_connections=1)
CROWDED = AppSettings(id="105", key="crowded-key", secret="crowded-secret", max_presence_members=1)
COUNTING = AppSettings(
    id="106", key="counting-key", secret="counting-secret", subscription_count_events=True
)

APPS = (APP, WITHOUT_CLIENT_EVENTS, DISABLED, SMALL, CROWDED, COUNTING)

#: What the ends of encrypted channels share, and the server does not have.
MASTER_KEY = base64.b64encode(b"32 bytes that both apps know, ok").decode()
