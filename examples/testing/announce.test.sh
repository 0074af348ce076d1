#!/bin/sh
# Tests announce.sh against a Pusher server of its own.
set -eu
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -r "$folder"' EXIT

mkfifo "$folder/line"
callboard fixture --end-with-parent >"$folder/line" &
server=$!
read -r line <"$folder/line"
fixture=$(printf '%s' "$line" | sed 's/.*"fixture": "\([^"]*\)".*/\1/')

set -a # PUSHER_HOST, PUSHER_PORT, … are for the app
curl -fsS "$fixture/env" >"$folder/env"
. "$folder/env"
set +a

sh announce.sh 7
curl -sS --fail-with-body "$fixture/wait?channel=orders&name=created&timeout=1" >"$folder/event"
grep -qF '"data":"{\"number\":7}"' "$folder/event"
echo "ok: an order is announced"

curl -fsS -X POST "$fixture/reset" >/dev/null
curl -fsS -X POST "$fixture/faults?fault=rest_status&status=503&first=1" >/dev/null
sh announce.sh 8 2>/dev/null
curl -sS --fail-with-body "$fixture/wait?channel=orders&timeout=1" >/dev/null
curl -sS --fail-with-body "$fixture/wait/hits?fault=1&timeout=0" >/dev/null
echo "ok: it is announced although the service fails once"
