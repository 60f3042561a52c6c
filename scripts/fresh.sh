#!/usr/bin/env bash
# The stranger's check: a fresh clone of the last commit, an empty environment, the README's commands.
#
#   scripts/fresh.sh test          make test
#   scripts/fresh.sh ci            bash .ci/run
#   scripts/fresh.sh run [FILES]   make run, asked by curl, stopped; then once more without the network.
#                                  FILES: a folder of model files to find, so that none is downloaded
set -euo pipefail
what=${1:-test}
models=${2:+$(realpath "$2")}
source=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/home"
git clone -q "$source" "$folder/rung"
cd "$folder/rung"
stranger() { env -i HOME="$folder/home" PATH="$PATH" LANG=C.UTF-8 "$@"; }

address=http://127.0.0.1:7864

# serve SECONDS COMMAND...: starts it, waits until it is ready, asks one question, stops it, wants exit 0
serve() {
    local limit=$1 started=$SECONDS log=$folder/serve.log
    shift
    stranger "$@" >"$log" 2>&1 &
    local pid=$!
    until curl -fsS -o "$folder/ready" "$address/readyz" 2>/dev/null; do
        kill -0 $pid 2>/dev/null || { cat "$log"; echo "make run ended before it was ready" >&2; return 1; }
        ((SECONDS - started < limit)) || { cat "$log"; kill $pid; echo "not ready after $limit s" >&2; return 1; }
        sleep 0.5
    done
    echo "ready after $((SECONDS - started)) s"
    curl -fsS "$address/v1/chat/completions" -H 'content-type: application/json' \
        -d '{"model": "auto", "messages": [{"role": "user", "content": "Format this JSON: {\"a\":[1,2]}"}]}'
    echo
    local child
    child=$(pgrep -P $pid || true)
    kill -TERM ${child:-$pid}
    wait $pid
    cat "$log"
}

case $what in
test) stranger make test ;;
ci) stranger bash .ci/run ;;
run)
    [ -z "$models" ] || { mkdir -p "$folder/home/.local/share/rung" && ln -s "$models" "$folder/home/.local/share/rung/models"; }
    serve 1800 make run
    if unshare -rn true 2>/dev/null; then
        # a network namespace of its own has its own loopback, so the questions are asked from inside
        stranger unshare -rn bash -c "ip link set lo up
            make run >'$folder/second.log' 2>&1 & pid=\$!
            for _ in \$(seq 60); do curl -fsS '$address/readyz' >/dev/null 2>&1 && break; sleep 0.5; done
            curl -fsS '$address/readyz' && echo && pkill -TERM -P \$pid; wait \$pid"
        echo "the second start needed no network"
    fi
    ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
