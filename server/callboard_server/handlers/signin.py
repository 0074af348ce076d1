"""``pusher:signin``: who the client is, vouched for by the app, and whom it watches."""

from __future__ import annotations

from typing import Final

from callboard_protocol import messages, refusals, signatures
from callboard_protocol.messages import (
    BadMessage,
    ClientMessage,
    NotAuthorized,
    SigninRequest,
    User,
)
from callboard_server.connection import Connection

#: Users of a watchlist that are watched; more are told with error 4302.
MAX_WATCHLIST: Final = 100


async def signin(connection: Connection, message: ClientMessage) -> None:
    """Sign the connection in, and tell it who of its watchlist is online.

    The whole list comes first, at once; changes follow. Signing in again as the same user is
    answered again and changes nothing; as another user it is an error.
    """
    request = messages.parse_signin(message)
    _check_auth(connection, request)
    if (objections := connection.hub.objections) is not None:
        objection = objections.to_signin(connection.app, connection.socket_id, request)
        if objection is not None:
            connection.send(objection)
            return
    named = messages.parse_user(request.user_data)
    if connection.user is not None:
        if connection.user.user_id != named.user_id:
            raise BadMessage(refusals.other_user(connection.user.user_id))
        connection.send(messages.signin_success(request.user_data))
        return
    user = User(named.user_id, named.user_info, named.watchlist[:MAX_WATCHLIST])
    hub, app_id = connection.hub, connection.app.id
    hub.users.begin(connection, app_id, user.user_id, user.watchlist)
    try:
        answer = await hub.broker.sign_in(
            app_id, connection.socket_id, user.user_id, user.watchlist
        )
    except BaseException:
        hub.users.remove(connection, app_id, user.user_id, user.watchlist)
        raise
    if not connection.live:
        hub.users.remove(connection, app_id, user.user_id, user.watchlist)
        await hub.broker.sign_out(app_id, connection.socket_id, user.user_id)
        return
    connection.user = user
    connection.send(messages.signin_success(request.user_data))
    if len(named.watchlist) > MAX_WATCHLIST:
        text = refusals.watchlist_too_long(len(named.watchlist), MAX_WATCHLIST)
        connection.send(messages.error(text, refusals.WATCHLIST_CODE))
    if user.watchlist:
        online = [watched for watched in user.watchlist if watched in answer.online]
        offline = [watched for watched in user.watchlist if watched not in answer.online]
        connection.send(messages.watchlist_events(online, offline))
    hub.users.confirm(connection, answer.serial)


def _check_auth(connection: Connection, request: SigninRequest) -> None:
    key, separator, signature = request.auth.partition(":")
    if not separator or not key or not signature:
        raise NotAuthorized(refusals.MALFORMED_SIGNIN_AUTH)
    if key != connection.app.key:
        raise NotAuthorized(refusals.unknown_auth_key(key))
    string = signatures.user_string(connection.socket_id, request.user_data)
    if not signatures.matches(connection.app.secret, string, signature):
        raise NotAuthorized(refusals.wrong_signature(string, signature))
