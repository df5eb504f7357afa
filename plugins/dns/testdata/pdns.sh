#!/bin/sh
# A PowerDNS for one test: pdns.sh PORT KEY serves its API on that port of the loopback, and nothing outlives it but TMPDIR.
set -eu
folder=$(mktemp -d)
schema=/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql
if [ -e "$schema" ]; then cat "$schema"; else zcat "$schema.gz"; fi | sqlite3 "$folder/pdns.sqlite3"
exec pdns_server --config-dir="$folder" --socket-dir="$folder" --daemon=no --guardian=no \
    --launch=gsqlite3 --gsqlite3-database="$folder/pdns.sqlite3" --gsqlite3-pragma-synchronous=0 \
    --webserver=yes --webserver-address=127.0.0.1 --webserver-port="$1" --api=yes --api-key="$2" \
    --local-address=127.53.0.1 --local-port="$1" \
    --cache-ttl=0 --query-cache-ttl=0 --negquery-cache-ttl=0 --zone-cache-refresh-interval=0
