#!/bin/sh
# Builds the kernels, rotations and graph rows with their checks for 64-bit ARM, with and without the dot product
# instruction, and the graph with walks over it, and runs them under qemu. Exit status 77 (skipped) without the tools.
#
#   neon.sh <root of the tree>
set -eu
root=$1

skip() {
    echo "skipped: $1"
    exit 77
}
compiler=$(command -v aarch64-linux-gnu-gcc) || skip "no aarch64 cross compiler"
emulator=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) || skip "no qemu-aarch64"

work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-neon.XXXXXX")
trap 'rm -rf "$work"' EXIT

cd "$root"
build() {
    program=$1
    shift
    "$compiler" -std=c17 -D_GNU_SOURCE -O2 -Wall -Wextra -Wshadow -Werror -static -I. -Iinclude \
        "$@" -lm -lpthread -o "$work/$program"
}

base="base/cpu.c base/rng.c base/clock.c"
rows="quant/rotation.c quant/graph_row.c quant/graph_row_neon.c"
for arch in armv8-a armv8.2-a+dotprod; do
    build checks -march=$arch $base $rows quant/kernels.c quant/kernels_scalar.c quant/kernels_neon.c \
        quant/lookup.c quant/lookup_scalar.c quant/lookup_neon.c \
        tests/quant/kernel_checks.c tests/quant/lookup_checks.c tests/quant/graph_row_checks.c \
        tests/quant/graph_row_query_checks.c \
        tests/quant/graph_row_form_plain.c tests/quant/graph_row_form_neon.c tests/quant/neon_main.c
    echo "$arch"
    "$emulator" "$work/checks"
done
build graph -march=armv8-a $base $rows base/error.c base/line.c base/status.c base/utf8.c base/mem.c base/thread.c base/topk.c \
    engine/graph_frame.c engine/graph_insert.c engine/graph_refine.c engine/graph_search.c engine/graph_check.c \
    engine/graph_scan.c engine/graph_rank.c engine/graph_walk_plain.c engine/graph_walk_neon.c tests/engine/graph_main.c
"$emulator" "$work/graph"
