#!/usr/bin/env bash
# Installs a build into a temporary prefix and uses it as a stranger would: through pkg-config and through
# find_package, shared and static; then looks at what the shared library exports, and compiles each public
# header alone as C17 and as C++17.
# Usage: install_consumer.sh <build folder>   with CC, CXX and CMAKE in the environment where they differ.
set -euo pipefail
build=$1
here=$(cd "$(dirname "$0")" && pwd)
CC=${CC:-cc} CXX=${CXX:-c++} CMAKE=${CMAKE:-cmake}
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
say() { printf -- '-- %s\n' "$*"; }

"$CMAKE" --install "$build" --prefix "$prefix" >/dev/null
library=$(find "$prefix" -name 'libcairn.so')
libdir=$(dirname "$library")

# What a consumer prints must name this version and the one pattern that it stored.
expect() { # program, folder of the shared library
    local said
    rm -rf "$work"/memory.cairn*
    said=$(LD_LIBRARY_PATH=${2:-} "$1" "$work/memory.cairn")
    [ "$said" = "cairn $version: 1 hit, id p1" ] || { say "it said: $said"; exit 1; }
}

export PKG_CONFIG_PATH=$libdir/pkgconfig
version=$(pkg-config --modversion cairn)

say "pkg-config, shared"
read -ra flags <<<"$(pkg-config --cflags --libs cairn)"
"$CC" -std=c17 -Wall -Wextra -Werror "$here/consumer.c" "${flags[@]}" -o "$work/shared"
expect "$work/shared" "$libdir"

say "pkg-config, static"
read -ra flags <<<"$(pkg-config --static --cflags --libs cairn | sed 's/-lcairn/-l:libcairn.a/')"
"$CC" -std=c17 "$here/consumer.c" "${flags[@]}" -o "$work/static"
expect "$work/static"

say "find_package: cairn::cairn and cairn::static"
cmake=("$CMAKE" -S "$here/consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$CC")
"${cmake[@]}" >/dev/null
"$CMAKE" --build "$work/consumer" >/dev/null
expect "$work/consumer/consumer_cairn"
expect "$work/consumer/consumer_static"

say "exports: the CAIRN_API functions of the headers and nothing else"
nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$work/exported"
grep -hv "^#" "$prefix"/include/cairn/*.h | tr '\n' ' ' | grep -o 'CAIRN_API [^;{(]*(' |
    sed 's/($//; s/.*[ *]//' | sort >"$work/declared"
[ -s "$work/declared" ]
diff "$work/declared" "$work/exported"

for header in "$prefix"/include/cairn/*.h; do
    say "alone: cairn/$(basename "$header")"
    include="#include <cairn/$(basename "$header")>"
    echo "$include" | "$CC" -std=c17 -Wall -Wextra -Wpedantic -Werror -I"$prefix/include" -fsyntax-only -xc -
    echo "$include" | "$CXX" -std=c++17 -Wall -Wextra -Wpedantic -Werror -I"$prefix/include" -fsyntax-only -xc++ -
done
