#!/bin/sh
# Builds gpu/ alone, tests it, benchmarks it beside the baselines and prints one table last:
#
#   gpu/run_all.sh [rows]        10,000,000 rows of dim 768 unless told; meant to take 5 to 9 minutes on 16 cores
#   gpu/run_all.sh --simulate    a rehearsal without a GPU: the same parts with the simulated one and few rows; its times tell nothing
#
# Every part has a time limit, all of them together $LIMIT seconds (580). What each printed is in run_all.log in the folder $OUT
# ($BUILD/out when that is not set), beside cairn.csv and baseline.csv, so that a part that fails or hangs leaves the others. It builds in $BUILD
# (build/gpu). Without a GPU the tests that need one say "skipped: no CUDA".
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build/gpu}
out=${OUT:-$build/out}
failed=
until=$(($(date +%s) + ${LIMIT:-580}))
logs=$build/logs
lines=3
driver=cuda
rows=10000000
cases=300
configure=
bench=
baseline=
if [ "${1:-}" = --simulate ]; then
    driver=simulated
    rows=300
    cases=2
    configure=-DCAIRN_GPU=OFF
    bench="--device simulated --dim 32 --batches 1,70 --seconds 0.001"
    baseline="--dim 32 --batches 1,70 --seconds 0.001"
elif [ $# -gt 0 ]; then
    rows=$1
fi
mkdir -p "$out" "$build" "$logs"
: >"$out/run_all.log"

part() { # part <name> <seconds> <command ...>
    name=$1 limit=$2
    shift 2
    begin=$(date +%s)
    left=$((until - begin - 10)) # for killing it, and for the table
    if [ $left -lt 5 ]; then # seconds
        echo "$name: left out: no time"
        failed="$failed $name"
        return
    fi
    [ "$limit" -le $left ] || limit=$left
    timeout -k 5 "$limit" "$@" >"$logs/$name.log" 2>&1
    status=$?
    (echo "==== $name: status $status" && cat "$logs/$name.log") >>"$out/run_all.log"
    case $status in
    0) word=ok ;;
    77) word=skipped ;;
    *) word="FAILED ($status)" failed="$failed $name" ;;
    esac
    echo "$name: $word, $(($(date +%s) - begin)) s"
    tail -n "$lines" "$logs/$name.log" | sed 's/^/    /'
}

here() { # the architecture of this machine's GPU, as CMake is told
    nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | sed 's/\.//; s/^90$/90a/'
}

# Words of an empty or a plain variable, not quoted on purpose: $configure, $bench, $baseline.
generator=$(command -v ninja >/dev/null && echo Ninja || echo "Unix Makefiles")
(nvidia-smi; nproc; nvcc --version) >>"$out/run_all.log" 2>&1
# For the card at hand alone: the other architectures take as long again, each.
part configure 120 cmake -S gpu -B "$build" -G "$generator" -DCMAKE_BUILD_TYPE=Release -DCAIRN_GPU_ARCHITECTURES="$(here | grep . || echo '80;89;90a;90-virtual')" $configure
part build 240 cmake --build "$build" -j"$(nproc)"
command -v cuobjdump >/dev/null && [ -f "$build/gpu.fatbin" ] && cuobjdump --dump-resource-usage "$build/gpu.fatbin" >>"$out/run_all.log" 2>&1
part "test_${driver}_more" 60 "$build/tests/gpu_more" $driver
part "test_${driver}_search" 90 "$build/tests/gpu_search" $driver 1 $cases
lines=60
part bench 150 "$build/gpu_bench" --rows "$rows" --csv "$out/cairn.csv" $bench
lines=3
part baseline 150 python3 gpu/bench/baseline.py --rows "$rows" --csv "$out/baseline.csv" $baseline
if command -v compute-sanitizer >/dev/null && [ $driver = cuda ]; then
    part memcheck 45 compute-sanitizer --error-exitcode 9 "$build/tests/gpu_search" cuda 5 12
    part racecheck 45 compute-sanitizer --tool racecheck --error-exitcode 9 "$build/tests/gpu_search" cuda 6 6
else
    echo "memcheck, racecheck: skipped: no compute-sanitizer, or no GPU to check"
fi
[ $driver = simulated ] || part test_simulated 45 "$build/tests/gpu_search" simulated 1 10
echo
if [ -n "$failed" ]; then echo "failed:$failed (see $out/run_all.log)"; else echo "all parts passed or were skipped"; fi
head -1 "$logs/bench.log" 2>/dev/null
python3 gpu/bench/table.py "$out/cairn.csv" "$out/baseline.csv"
[ -z "$failed" ]
