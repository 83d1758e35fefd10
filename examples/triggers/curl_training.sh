#!/bin/sh
# Asks for a training over HTTP, at the monitor: curl_training.sh MODEL [REQUEST_ID].
# SHIPWAY_TOKEN: a token with the scope "operate", where the monitor asks for one.
set -eu
id=${2:-$(date -u +%Y%m%dT%H%M%SZ)-$$}
curl --silent --show-error --fail-with-body --retry 3 "${SHIPWAY_MONITOR_URL:-http://127.0.0.1:8090}/api/models/$1/trainings" \
  --header "Authorization: Bearer ${SHIPWAY_TOKEN:-}" --json "{\"request_id\": \"$id\", \"by\": \"a script\"}"
