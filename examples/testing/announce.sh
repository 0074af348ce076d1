#!/bin/sh
# The app under test: announces an order by Pusher's HTTP API, signed as its documentation says.
# Usage: announce.sh NUMBER, with PUSHER_… in the environment.
set -eu
body='{"name":"created","channels":["orders"],"data":"{\"number\":'$1'}"}'
path=/apps/$PUSHER_APP_ID/events
md5=$(printf %s "$body" | openssl dgst -md5 -r | cut -d ' ' -f 1)
query="auth_key=$PUSHER_APP_KEY&auth_timestamp=$(date +%s)&auth_version=1.0&body_md5=$md5"
signature=$(printf 'POST\n%s\n%s' "$path" "$query" |
    openssl dgst -sha256 -hmac "$PUSHER_APP_SECRET" -r | cut -d ' ' -f 1)
curl -fsS --retry 2 -o /dev/null -H 'Content-Type: application/json' -d "$body" \
    "$PUSHER_SCHEME://$PUSHER_HOST:$PUSHER_PORT$path?$query&auth_signature=$signature"
