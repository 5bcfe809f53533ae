#!/usr/bin/env bash
# Runs the clients of others against `cairn serve`, with the versions that requirements.txt and package.json pin, and prints a table.
#   run.sh PATH_TO_cairn CACHE_FOLDER [CLIENT...]
# What they need is installed into CACHE_FOLDER from PyPI and npm, once; nothing outside it is changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
cairn=$(realpath "$1")
mkdir -p "$2"
cache=$(realpath "$2")
shift 2
clients=("$@")
[ $# -gt 0 ] || clients=(qdrant-client langchain llama-index mem0 js)
export CLIENTS_JS=$cache/js PYTHONDONTWRITEBYTECODE=1

# Installs again when the file that pins the versions has changed.
fresh() { # pins, copy
    cmp -s "$1" "$2"
}

install_python() {
    local pins=$here/requirements.txt copy=$cache/python/requirements.txt
    fresh "$pins" "$copy" && return
    rm -rf "$cache/python"
    python3 -m venv "$cache/python" &&
        "$cache/python/bin/pip" install --quiet --disable-pip-version-check -r "$pins" &&
        cp "$pins" "$copy"
}

install_js() {
    local copy=$cache/js/package.json.installed
    fresh "$here/package.json" "$copy" && return
    rm -rf "$cache/js"
    mkdir -p "$cache/js" &&
        cp "$here/package.json" "$cache/js/" &&
        npm install --prefix "$cache/js" --silent --no-audit --no-fund --ignore-scripts &&
        cp "$here/package.json" "$copy"
}

run_client() {
    local python=$cache/python/bin/python serve=("$here/with_server.py")
    case "$1" in
        qdrant-client) install_python && "$python" "${serve[@]}" "$cairn" "$python" "$here/test_qdrant_client.py" ;;
        langchain | llama-index | mem0)
            install_python && "$python" "${serve[@]}" --restart "$cairn" "$python" "$here/client_${1//-/_}.py" ;;
        js) install_js && python3 "${serve[@]}" --restart "$cairn" node "$here/client_js.mjs" ;;
        *) echo "unknown client '$1'" && return 2 ;;
    esac
}

version_of() {
    local pip=$cache/python/bin/pip
    case "$1" in
        qdrant-client) "$pip" show qdrant-client ;;
        langchain) "$pip" show langchain-qdrant ;;
        llama-index) "$pip" show llama-index-vector-stores-qdrant ;;
        mem0) "$pip" show mem0ai ;;
        js) sed -n 's/^  "version": "\(.*\)",/Version: \1/p' "$cache/js/node_modules/@qdrant/js-client-rest/package.json" ;;
    esac 2>/dev/null | sed -n 's/^Version: //p'
}

failed=0
table=''
for client in "${clients[@]}"; do
    log=$cache/$client.log
    if run_client "$client" >"$log" 2>&1; then
        result=passed
    else
        result="FAILED, see $log"
        failed=1
        tail -n 20 "$log" >&2
    fi
    table+=$(printf '%-15s %-10s %s' "$client" "$(version_of "$client" || true)" "$result")$'\n'
done
printf '%s' "$table"
exit $failed
