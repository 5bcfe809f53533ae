#!/bin/sh
# Builds the kernels and their checks for 64-bit ARM, with and without the dot product instruction, and runs
# them under qemu. Exit status 77 (skipped) without the tools.
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
for arch in armv8-a armv8.2-a+dotprod; do
    "$compiler" -std=c17 -D_GNU_SOURCE -O2 -march=$arch -Wall -Wextra -Werror -static -I. -Iinclude \
        quant/kernels.c quant/kernels_scalar.c quant/kernels_neon.c base/cpu.c base/rng.c base/clock.c \
        quant/lookup.c quant/lookup_scalar.c quant/lookup_neon.c \
        tests/quant/kernel_checks.c tests/quant/lookup_checks.c tests/quant/neon_main.c -lm -lpthread -o "$work/checks"
    echo "$arch"
    "$emulator" "$work/checks"
done
