#!/usr/bin/env bash
# Runs other vector-search libraries, and Cairn, over a data set of bench/data and prints their speed at a recall.
#
#   bench/peers/run.sh DATA_DIR NAME [PEER...]
#
# PEER is cairn (or cairn:INDEX), hnswlib, hnswlib-filtered, hnswlib-ranges, faiss, usearch, or one configuration
# as in faiss:hnsw32; all but Cairn by default.
# Nothing of theirs is kept in this tree: the libraries come from PyPI into a cache folder, and hnswlib's headers
# are compiled there for this machine. Built indexes stay in the cache, so that a sweep can be repeated in
# seconds; remove the folder to start anew.
#
# environment:
#   PEERS_CACHE      libraries, programs and indexes (build/peers)
#   PEERS_OUT        the results, NAME.jsonl and NAME-filtered.jsonl, a line a point; a curve that is run again
#                    replaces its lines (PEERS_CACHE/results)
#   PEERS_DO         "build" or "search": only that. Building takes hours on a loaded machine, sweeping is to be
#                    done on a quiet one (both)
#   PEERS_AGAIN      not empty: points are added to the curve's older ones, and the median of each setting counts.
#                    So libraries can be measured in turns
#   CAIRN_BUILD      where cairn and bench/bench_search were built (build/release)
#   CAIRN_RESULTS    a results file of Cairn's, to print ratios against (PEERS_OUT/NAME-cairn.jsonl, where the
#                    peer cairn writes)
#   BUILD_PREFIX     what is put before each build and each sweep, as in "nice -n 10" or "taskset -c 1". Builds
#   SEARCH_PREFIX    use all cores, sweeps one thread
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
say() { printf '%s\n' "peers: $*" >&2; }
if [ $# -lt 2 ]; then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
fi
data=$1 name=$2
shift 2
cache=${PEERS_CACHE:-$here/../../build/peers}
out=${PEERS_OUT:-$cache/results}
todo=${PEERS_DO:-build search}
hnswlib_version=0.8.0
read -ra build_prefix <<<"${BUILD_PREFIX:-}"
read -ra search_prefix <<<"${SEARCH_PREFIX:-}"
[ -e "$data/$name.json" ] || { say "no data set $name in $data (bench/data makes them)"; exit 1; }
mkdir -p "$cache" "$out"

# ---- the libraries --------------------------------------------------------------------------------------

venv() {
    if ! cmp -s "$here/requirements.txt" "$cache/venv/requirements.txt"; then
        say "installing faiss-cpu, usearch and numpy from PyPI"
        python3 -m venv "$cache/venv"
        "$cache/venv/bin/pip" install -q -r "$here/requirements.txt"
        cp "$here/requirements.txt" "$cache/venv/requirements.txt"
    fi
}

hnswlib_program() {
    local source=$cache/hnswlib-$hnswlib_version program=$cache/bench_hnswlib
    if [ ! -d "$source" ]; then
        say "fetching hnswlib's headers from PyPI"
        "$cache/venv/bin/pip" download -q --no-deps --no-binary hnswlib -d "$cache" \
            "hnswlib==$hnswlib_version"
        tar -xzf "$source.tar.gz" -C "$cache"
    fi
    if [ "$here/bench_hnswlib.cpp" -nt "$program" ]; then
        g++ -std=c++17 -O3 -march=native -pthread -isystem "$source" -o "$program" "$here/bench_hnswlib.cpp" \
            2>"$cache/compiler.log" || { cat "$cache/compiler.log" >&2; return 1; }
    fi
}

# ---- one curve ------------------------------------------------------------------------------------------

fact() { # member of NAME.json
    "$cache/venv/bin/python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$data/$name.json" "$1"
}

# Runs a sweep and puts its lines into a results file in the place of the curve's older ones.
collect() { # file, lib, cfg, command...
    local file=$1 lib=$2 cfg=$3
    touch "$file"
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 "${search_prefix[@]}" "${@:4}" >"$cache/points.$$"
    if [ "${PEERS_AGAIN:-}" ]; then
        cp "$file" "$cache/others.$$"
    else
        { grep -vF "{\"lib\": \"$lib\", \"cfg\": \"$cfg\"," "$file" || true; } >"$cache/others.$$"
    fi
    cat "$cache/others.$$" "$cache/points.$$" >"$file"
    rm "$cache/others.$$" "$cache/points.$$"
}

wanted() { [[ $todo == *$1* ]]; }

index=$cache/$name.hnswlib.M16.index

build_hnswlib() {
    hnswlib_program
    wanted build || return 0
    if [ ! -e "$index.json" ]; then
        say "building hnswlib M16"
        "${build_prefix[@]}" "$cache/bench_hnswlib" build "$data/$name.base.fvecs" "$(fact metric)" "$index" \
            "$(nproc)"
    fi
}

search_hnswlib() {
    build_hnswlib
    wanted search || return 0
    say "searching hnswlib M16"
    collect "$out/$name.jsonl" hnswlib M16 "$cache/bench_hnswlib" search "$index" "$(fact metric)" \
        "$data/$name.query.fvecs" "$data/$name.gt.ivecs"
}

search_hnswlib_filtered() {
    local percent filter
    build_hnswlib
    wanted search || return 0
    for percent in 50 10 1 0.1; do
        filter=$data/$name.filter$percent
        [ -e "$filter.bits" ] || { say "no filters: run bench/data/filters.py"; return 1; }
        say "searching hnswlib M16, filter $percent %"
        collect "$out/$name-filtered.jsonl" hnswlib "M16-filter$percent" "$cache/bench_hnswlib" search "$index" \
            "$(fact metric)" "$data/$name.query.fvecs" "$filter.gt.ivecs" "$filter.bits" "$percent"
    done
}

# Filters of cairn bench --filter-out DATA_DIR/NAME.
search_hnswlib_ranges() {
    local ranges filter kind percent order
    build_hnswlib
    wanted search || return 0
    for ranges in "$data/$name".filter*.ranges.ivecs; do
        [ -e "$ranges" ] || { say "no ranges: run cairn bench --filter-out $data/$name"; return 1; }
        filter=${ranges%.ranges.ivecs}
        kind=${filter##*-}
        percent=${filter##*.filter}
        percent=${percent%-*}
        [ "$kind" = random ] && order=shuffled || order=place
        say "searching hnswlib M16, $kind filter $percent %"
        collect "$out/$name-filtered.jsonl" hnswlib "M16-filter$percent-$kind" "$cache/bench_hnswlib" search "$index" \
            "$(fact metric)" "$data/$name.query.fvecs" "$filter.gt.ivecs" "$data/$name.$order.ivecs" "$percent" "$ranges" "$kind"
    done
}

# Imports the rows with an index of that kind; facts are the CPU seconds of it all, and the bytes of what searches read.
build_cairn() { # index
    [ ! -e "$database.facts" ] || return 0
    say "building cairn $1"
    rm -rf "$database"*
    TIMEFORMAT='%U %S'
    { time "${build_prefix[@]}" "$cairn/cairn" import "$database" "$data/$name.base.fvecs" --metric "$(fact metric)" \
        --index "$1" >"$cache/cairn.log" 2>&1; } 2>"$cache/cairn.time"
    du -bc "$database".d/*.derived | awk -v rows="$(fact n)" -v cfg="$1" -v used="$(<"$cache/cairn.time")" \
        'END { split(used, s, " "); printf "\"cfg\": \"%s\", \"build_s\": %.1f, \"bytes_per_vector\": %.1f", cfg,
               s[1] + s[2], $1 / rows }' >"$database.facts"
}

search_cairn() { # index
    local cairn=${CAIRN_BUILD:-$here/../../build/release} database=$cache/$name.$1.cairn
    local efforts=(--ef 10,16,24,32,40,48,64,80,96,128,192,256,384,512,768,1024,1536,2048,3072,4096)
    [[ $1 != ivf* ]] || efforts=(--nprobe 1,2,4,6,8,12,16,24,32,48,64,96,128,192,256)
    if wanted build; then build_cairn "$1"; fi
    wanted search || return 0
    say "searching cairn $1"
    collect "$out/$name-cairn.jsonl" cairn "$1" "$cairn/bench/bench_search" "$database" "$data/$name.query.fvecs" \
        "$data/$name.gt.ivecs" "${efforts[@]}" --copied --json "$(<"$database.facts")"
}

search_python() { # faiss or usearch, configurations...
    local lib=$1 cfg
    local program=("$cache/venv/bin/python" "$here/bench_$lib.py")
    for cfg in "${@:2}"; do
        say "$lib $cfg"
        if wanted build; then "${build_prefix[@]}" "${program[@]}" build "$data" "$name" "$cfg" "$cache"; fi
        if wanted search; then
            collect "$out/$name.jsonl" "$lib" "$cfg" "${program[@]}" search "$data" "$name" "$cfg" "$cache"
        fi
    done
}

venv
[ $# -gt 0 ] || set -- hnswlib hnswlib-filtered faiss usearch
for peer in "$@"; do
    case $peer in
        cairn) search_cairn graph ;;
        cairn:*) search_cairn "${peer#*:}" ;;
        hnswlib) search_hnswlib ;;
        hnswlib-filtered) search_hnswlib_filtered ;;
        hnswlib-ranges) search_hnswlib_ranges ;;
        faiss | usearch)
            read -ra configurations <<<"$("$cache/venv/bin/python" "$here/bench_$peer.py" list)"
            search_python "$peer" "${configurations[@]}"
            ;;
        faiss:* | usearch:*) search_python "${peer%%:*}" "${peer#*:}" ;;
        *) say "unknown peer '$peer'"; exit 2 ;;
    esac
done

ours=${CAIRN_RESULTS:-$out/$name-cairn.jsonl}
for results in "$out/$name.jsonl" "$out/$name-filtered.jsonl"; do
    [ -s "$results" ] || continue
    echo
    beside=()
    [ ! -s "$ours" ] || beside=(--cairn "$ours")
    "$cache/venv/bin/python" "$here/curve.py" "$results" "${beside[@]}"
done
