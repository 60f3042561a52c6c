#!/usr/bin/env bash
# The stranger's check: a fresh clone of the last commit, an empty environment, the README's commands.
#
#   scripts/fresh.sh test            make test
#   scripts/fresh.sh ci              bash .ci/run
#   scripts/fresh.sh run [FOLDER]    make run, a question by curl, SIGTERM; then once more without any network.
#                                    FOLDER: model files to find there, so that none is downloaded
set -euo pipefail
what=${1:-}
case $what in
test | ci | run) ;;
*)
    sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"
    exit 2
    ;;
esac
models=${2:+$(realpath "$2")}
origin=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/home"
git clone -q "$origin" "$folder/rung"
cd "$folder/rung"
address=http://127.0.0.1:7864

stranger() { exec env -i HOME="$folder/home" PATH="$PATH" LANG=C.UTF-8 "$@"; }

# make_run SECONDS: start, wait until ready, ask for a program's answer, stop; the exit code must be 0
make_run() {
    local began=$SECONDS make
    if curl -s -o /dev/null "$address"; then
        echo "something else answers on $address; stop it first" >&2
        return 1
    fi
    stranger make run >"$folder/log" 2>&1 &
    make=$!
    until curl -fsS -o /dev/null "$address/readyz" 2>/dev/null; do
        if ! kill -0 $make 2>/dev/null || ((SECONDS - began > $1)); then
            cat "$folder/log"
            echo "make run was not ready after $((SECONDS - began)) s" >&2
            pkill -TERM -P $make || true
            return 1
        fi
        sleep 0.2
    done
    echo "ready after $((SECONDS - began)) s"
    curl -fsS "$address/v1/chat/completions" -H 'content-type: application/json' \
        -d '{"model": "auto", "messages": [{"role": "user", "content": "Format this JSON:\n{\"a\":[1,2]}"}]}'
    echo
    pkill -TERM -P $make
    wait $make
    cat "$folder/log"
}

case $what in
test) (stranger make test) ;;
ci) (stranger bash .ci/run) ;;
run)
    if [ -n "$models" ]; then
        mkdir -p "$folder/home/.local/share/rung"
        cp -rl "$models" "$folder/home/.local/share/rung/models"  # hard links: model files are large
    fi
    make_run 1800
    if unshare -rn ip link set lo up 2>/dev/null; then
        export -f stranger make_run
        export folder address
        unshare -rn bash -euo pipefail -c 'ip link set lo up; make_run 60'
        echo "the second start needed no network"
    else
        echo "no network namespaces here: the second start was not tried without a network"
    fi
    ;;
esac
