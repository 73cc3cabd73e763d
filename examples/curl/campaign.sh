#!/usr/bin/env bash
# A campaign with curl and jq alone: Connect's JSON is one POST for each call, and its field names are those of proto/.
#
#   CAH_HUB=http://127.0.0.1:8080 CAH_TOKEN=... examples/curl/campaign.sh
#
# The token reaches curl as a file, since a command line can be read by all users of a machine.
set -euo pipefail
: "${CAH_HUB:?set it to the hub, like http://127.0.0.1:8080}" "${CAH_TOKEN:?set it to your token}"

# post TYPE METHOD: sends its stdin to one method of the hub.
post() {
  curl -sS --fail-with-body --no-buffer --data-binary @- -H @<(printf 'Authorization: Bearer %s' "$CAH_TOKEN") \
    -H "Content-Type: $1" "$CAH_HUB/cah.v1.ScientistService/$2"
}

# call METHOD JSON: one call, its answer in JSON. An error answers code and message.
call() {
  local answer
  answer=$(printf %s "$2" | post application/json "$1") || {
    echo "$1: $answer" >&2
    return 1
  }
  printf '%s\n' "$answer"
}

# stream METHOD JSON: the messages of a stream, a line each. On the wire each message is a byte of flags, its length in four
# bytes, and its JSON; the one with flag 2 ends the stream and holds the error, if there was one.
stream() {
  local LC_ALL=C flags a b c d length error
  { printf "\\x00\\x00\\x00$(printf '\\x%02x\\x%02x' $((${#2} >> 8)) $((${#2} & 255)))%s" "$2"; } |
    post application/connect+json "$1" |
    while read -r flags a b c d < <(head -c 5 | od -An -tu1) && [ -n "$flags" ]; do
      length=$(((a << 24) + (b << 16) + (c << 8) + d))
      if [ "$flags" = 2 ]; then
        error=$(head -c "$length" | jq -r '.error // empty | "\(.code): \(.message)"')
        [ -z "$error" ] || { echo "$1: $error" >&2; return 1; }
      else
        head -c "$length"
        echo
      fi
    done
}

call WhoAmI '{}' | jq -r '"I am \(.principal)"'

# The key is made before the first try: whoever got no answer may ask again, and still there is one campaign.
key=$(cat /proc/sys/kernel/random/uuid)
order=$(jq -n --arg key "$key" '{
  idempotencyKey: $key,
  spec: {
    name: "squares",
    command: ["n=$CAH_ARRAY_INDEX; echo $((n * n)) | tee square.txt"],
    array: 5,
    stageout: ["square.txt"],
    walltime: "600s"
  }
}')
campaign=$(call Submit "$order" | jq -r .campaign)
again=$(call Submit "$order" | jq -r .campaign)
[ "$campaign" = "$again" ] || { echo "submitted twice" >&2; exit 1; }
echo "campaign $campaign"

# The campaign as it is, then as it changes, until it has ended. protobuf's JSON leaves out what is 0.
stream WatchCampaign "{\"campaign\": \"$campaign\"}" |
  jq -r --unbuffered '.campaign | "\(.counts.finished // 0) of \(.counts.total) finished"' | uniq

# Outputs are bytes, base64 in JSON. Short ones come with the list of jobs.
call ListJobs "{\"campaign\": \"$campaign\"}" |
  jq -r '.jobs[] | "job \(.id.index // 0): \(.outcome) \(.result.stdout.inline // "" | @base64d | rtrimstr("\n"))"'

# The files that a job wrote are a tar archive.
stream Download "{\"job\": {\"campaign\": \"$campaign\", \"index\": 3}, \"output\": \"OUTPUT_STAGEOUT\"}" |
  jq -r '.data // empty' | while read -r piece; do printf %s "$piece" | base64 -d; done | tar -xO square.txt
