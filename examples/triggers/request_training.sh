#!/bin/sh
# Asks for a training from a shell: request_training.sh MODEL [REQUEST_ID]. Needs kcat (Debian's package of that name).
set -eu
model=$1
id=${2:-$(date -u +%Y%m%dT%H%M%SZ)-$$}
printf '{"model": "%s", "request_id": "%s", "reason": "asked for by a script"}' "$model" "$id" |
  kcat -P -b "${SHIPWAY__KAFKA__BOOTSTRAP:-127.0.0.1:9094}" -t shipway.training-requests -k "$model" -X acks=all \
    -H ce_specversion=1.0 -H "ce_id=$id" -H ce_source=com.example/request_training.sh \
    -H ce_type=shipway.TrainingRequested.v1 -H "ce_time=$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
    -H content-type=application/json
echo "$id"
