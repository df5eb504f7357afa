#!/usr/bin/env bash
# Records one run of the ticket provider, as `trueup plugin new` makes it, into tests/corpus/<version>/tickets-<language>.jsonl:
# a component built by this version, what it was asked, and what came of it. Every later version must replay it to the same plan.
#
#   tests/corpus/record.sh LANGUAGE      with trueup, and the language's tools, on the PATH
#
# Run once for each released version; a recording that exists is never made anew.
set -euo pipefail
language=$1
here=$(cd "$(dirname "$0")" && pwd)
version=$(trueup version -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])')
file=$here/$version/tickets-$language.jsonl
[ ! -e "$file" ] || { echo "$file is there already" >&2; exit 1; }
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -- -"$server"; rm -rf "$work"' EXIT
cd "$work"
export XDG_CONFIG_HOME=$work/config TOKEN=test-token HOOK=s3cret-hook-value
trueup plugin new tickets --lang "$language"
cd tickets
case $language in
    js) npm install --silent && command=(node server.mjs) ;;
    python) python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt && command=(python3 server.py) ;;
    go) command=(go run ./server) ;;
    rust) command=(cargo run --release --quiet --package server --) ;;
esac
trueup plugin build
port=18080
set -m
"${command[@]}" $port </dev/null &
server=$!
set +m
for _ in $(seq 600); do curl --silent http://127.0.0.1:$port/requests >/dev/null && break; sleep 0.1; done
mkdir -p ../shop/base "$XDG_CONFIG_HOME/trueup" "$here/$version"
cd ../shop
cp ../tickets/build/tickets.wasm .
cat > trueup.yaml <<END
apiVersion: trueup.dev/v1
kind: Project
metadata: {name: corpus, id: 4f0c9a000000000000000000000000aa}
providers:
  tickets: {plugin: ./tickets.wasm, config: {server: "http://127.0.0.1:$port"}, hosts: ["http://127.0.0.1:$port"], credential: tickets, secrets: [hook]}
environments:
  prod: {layers: [base]}
END
cat > "$XDG_CONFIG_HOME/trueup/credentials.yaml" <<END
credentials:
  tickets: {origins: ["http://127.0.0.1:$port"], bearer: {env: TOKEN}}
secrets:
  hook: {env: HOOK}
END
chmod 600 "$XDG_CONFIG_HOME/trueup/credentials.yaml"
ticket() { printf 'apiVersion: tickets/v1\nkind: Ticket\nmetadata: {name: %s}\nspec: {queue: %s, title: %s, %s}\n' "$@" > "base/$1.yaml"; }
ticket stays support Stays 'tags: [a, b]'
ticket changes support Changes 'priority: 2'
ticket drifts support Drifts 'body: "as it was"'
ticket goes support Goes 'priority: 5'
ticket moves support Moves 'priority: 1'
ticket sealed other Sealed 'hook: "${{ secret('"'hook'"') }}"'
trueup plugin add ./tickets.wasm --yes
trueup apply --worktree --trust --yes
# Everything at once: an update, drift, a slow delete, a replacement, a create, a reference.
ticket changes support Changes 'priority: 4, tags: [c]'
ticket moves elsewhere Moves 'priority: 1'
ticket comes support Comes 'body: "see ${{ ref('"'Ticket/stays'"').status.url }}"'
rm base/goes.yaml
id=$(curl --silent --header "Authorization: Bearer test-token" "http://127.0.0.1:$port/tickets?queue=support" |
    python3 -c 'import json, sys; print(next(it["id"] for it in json.load(sys.stdin)["tickets"] if it["title"] == "Drifts"))')
curl --silent --fail --request PATCH --header "Authorization: Bearer test-token" --data '{"body": "another"}' "http://127.0.0.1:$port/tickets/$id" >/dev/null
trueup apply --worktree --trust --yes --allow-deletes 9 --record "$file"
chmod 644 "$file"
trueup replay "$file"
