#!/usr/bin/env python3
"""Checks what the compiler cannot: which room includes which, who owns a third-party header, banned calls.

    check_rooms.py <root of the tree>    prints one line per offence; exit status 1 when there is one
    check_rooms.py --self-test           plants each kind of offence in a small tree and expects to find it

Tests and benchmarks may include anything; only the calls of UNSAFE are banned there.
"""

import fnmatch
import pathlib
import re
import sys
import tempfile

# Data flows down: a room includes only rooms named here, itself, and the public headers.
MAY_INCLUDE = {
    "include": set(),
    "base": set(),
    "quant": {"base"},
    "gpu": {"base"},
    "storage": {"base"},
    "engine": {"quant", "gpu", "storage", "base"},
    "net": {"base"},
    "embed": {"net", "base"},
    "registry": {"storage", "quant", "base"},
    "router": {"engine", "registry", "net", "base"},
    "server": {"router", "registry", "embed", "net", "base"},
    "cli": {"server", "router", "registry", "embed", "net", "base"},
    "examples": set(),
}
PROGRAMS = {"server", "cli", "examples"}  # they may print and exit; the library may not
FREE = {"tests", "bench", "tools"}
FREE_FOLDERS = ("gpu/bench/", "gpu/simulate/")  # tests and benchmarks that a room keeps, to be built alone

# Each third-party library has one user (OpenSSL two): header pattern, and the files that may include it.
OWNERS = [
    (r"sqlite3", "storage/*"),
    (r"xxh", "base/hash.*"),
    (r"simdjson", "base/json.cpp"),
    (r"roaring/", "engine/*"),
    (r"(faiss/|omp\.h)", "engine/*faiss*"),
    (r"curl/", "net/*"),
    (r"openssl/", "net/*|server/*"),
    (r"(cblas|lapack|openblas)", "quant/*"),
    (r"(libpq|postgres)", "registry/*"),
    (r"uv(\.h|/)", "server/*"),
    (r"(cuda|cublas|curand|thrust/|cub/)", "gpu/*"),
    (r"(hdf5|H5\w+)\.h", "cli/read_hdf5.c"),
    (r"cmocka", "tests/*"),
]

UNSAFE = "strcpy strcat sprintf vsprintf gets strtok atoi atol atof".split()
ALLOCATION = "malloc calloc realloc strdup strndup aligned_alloc posix_memalign free".split()
PRINT_OR_EXIT = "printf vprintf puts putchar perror exit _exit quick_exit abort system".split()

COMMENT = r"//[^\n]*|/\*.*?\*/"
STRING = r'"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])*'"


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def without_comments(text):
    keep_strings = lambda m: m.group() if m.group()[0] in "\"'" else blank(m)
    return re.sub(f"{COMMENT}|{STRING}", keep_strings, text, flags=re.S)


def code_only(text):
    return re.sub(f"{COMMENT}|{STRING}", blank, text, flags=re.S)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def banned_calls(path, room):
    banned = {name: "knows no bound or no error: use memcpy, snprintf or strto*" for name in UNSAFE}
    if room in FREE or room == "examples":
        return banned
    if path.as_posix() != "base/mem.c":
        banned.update((name, "belongs to base/mem.c: use crn_mem_*") for name in ALLOCATION)
        if path.suffix in {".cpp", ".cu"}:
            del banned["free"]  # of what a C++ library or the C++ runtime handed out
    if room not in PROGRAMS:
        banned.update((name, "is not for a library: return a status") for name in PRINT_OR_EXIT)
    return banned


def check_calls(path, room, text):
    code = code_only(text)
    banned = banned_calls(path, room)
    for match in re.finditer(r"(?<![\w.>])(?:std::|::)?(\w+)\s*\(", code):
        if match.group(1) in banned:
            yield line_of(code, match.start()), f"{match.group(1)}() {banned[match.group(1)]}"


def check_includes(root, path, room, text):
    for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', without_comments(text), re.M):
        opening, header = match.groups()
        line = line_of(text, match.start(1))
        parts = header.split("/")
        if ".." in parts:
            yield line, f"includes {header}: name headers from the root of the tree"
            continue
        target = parts[0] if parts[0] in MAY_INCLUDE or parts[0] in FREE else None
        in_tree = target is not None and (root / header).is_file()
        beside = (root / path.parent / header).is_file()
        if opening == '"' and not in_tree and not beside and parts[0] != "cairn":
            yield line, f"includes {header}, which is not in the tree"
        if in_tree and room not in FREE and target != room and target not in MAY_INCLUDE[room]:
            yield line, f"{room}/ may not include {header}"
        for pattern, owner in OWNERS:
            owned = re.match(pattern, header) and not (in_tree or beside)
            if owned and room not in FREE and not any(fnmatch.fnmatch(path.as_posix(), o) for o in owner.split("|")):
                yield line, f"includes {header}, which only {owner} may"


def check_tree(root):
    offences, files = [], 0
    for room in sorted(MAY_INCLUDE.keys() | FREE):
        for file in sorted((root / room).rglob("*")):
            if file.suffix not in {".c", ".h", ".cpp", ".cu", ".cuh"}:
                continue
            files += 1
            path = file.relative_to(root)
            rules = "tests" if path.as_posix().startswith(FREE_FOLDERS) else room
            text = file.read_text(encoding="utf-8")
            found = [*check_includes(root, path, rules, text), *check_calls(path, rules, text)]
            offences += [f"{path}:{line}: {what}" for line, what in sorted(found)]
    return offences, files


CLEAN = {
    "include/cairn/a.h": "#include <stddef.h>\n",
    "base/a.h": "#include <cairn/a.h>\n",
    "base/mem.c": '#include "base/a.h"\nvoid *f(void) { return malloc(1); }\n',
    "base/hash.c": "#include <xxhash.h>\n",
    "base/json.cpp": "#include <simdjson.h>\nvoid f(char *p) { std::free(p); }\n",
    "storage/a.h": '#include "base/a.h"\n',
    "storage/a.c": "#include <sqlite3.h>\n",
    "engine/a.c": '#include "storage/a.h"\n#include <roaring/roaring.h>\n',
    "engine/faiss_c.cpp": "#include <faiss/Index.h>\n#include <omp.h>\n",
    "net/a.h": "",
    "server/a.c": '#include "net/a.h"\n#include <uv.h>\n#include <openssl/ssl.h>\n#include <cairn/a.h>\n',
    "net/a.c": '#include "net/a.h"\n#include <net/if.h>\n#include <curl/curl.h>\n',
    "quant/a.c": "#include <cblas.h>\n/* malloc(1) */ const char *s = \"malloc(1)\"; // free(p)\n",
    "gpu/bench/a.c": 'void f(void) { free(0); printf("x"); }\n',
    "base/table.c": "void f(struct t *t) { t->free(t); snprintf(0, 0, \"\"); }\n",
    "cli/read_hdf5.c": "#include <hdf5.h>\n",
    "cli/a.c": 'void f(void) { printf("x"); exit(1); }\n',
    "tests/a.c": '#include "engine/b.h"\n#include <sqlite3.h>\nvoid f(void) { free(0); printf("x"); }\n',
    "engine/b.h": "",
}

OFFENCES = {
    "base/bad.c": ['#include "storage/a.h"', "#include <sqlite3.h>", "#include <xxhash.h>", "#include <simdjson.h>",
                   "void f(void) { strcpy(a, b); }", "void f(void) { free (p); }", "int x = atoi(s);",
                   "void f(void) { abort(); }", 'void f(void) { printf("x"); }', '#include "base/none.h"',
                   "#  include <storage/a.h>", "/* a */ #include <curl/curl.h>", "#include <openssl/ssl.h>"],
    "storage/bad.c": ['#include "engine/b.h"', '#include "net/a.h"', "#include <roaring/roaring.h>"],
    "engine/bad.c": ["#include <faiss/Index.h>", '#include "net/a.h"', "#include <cblas.h>"],
    "server/bad.c": ['#include "engine/b.h"', '#include "storage/a.h"', "#include <curl/curl.h>"],
    "net/bad.c": ["#include <uv.h>", '#include "storage/a.h"', '#include "../base/a.h"'],
    "include/cairn/bad.h": ['#include "base/a.h"', '#include <base/a.h>'],
    "base/bad.cpp": ["void f(void) { p = malloc(1); }", "void f(void) { p = std::malloc(1); }"],
    "cli/bad.c": ["#include <hdf5.h>", '#include "engine/b.h"', "void f(void) { p = malloc(1); }"],
    "tests/bad.c": ["void f(void) { sprintf(a, b); }"],
    "examples/bad.c": ['#include "base/a.h"', "#include <sqlite3.h>"],
}


def self_test():
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in CLEAN.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        for offence in check_tree(root)[0]:
            failures += 1
            print(f"self-test: nothing is wrong with {offence}")
        for name, lines in OFFENCES.items():
            for line in lines:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(f"\n{line}\n", encoding="utf-8")
                offences = check_tree(root)[0]
                if len(offences) != 1 or not offences[0].startswith(f"{name}:2: "):
                    failures += 1
                    print(f"self-test: {name}: {line}: expected one offence on line 2, found {offences}")
                (root / name).unlink()
    print(f"self-test: {sum(map(len, OFFENCES.values()))} offences planted, {failures} failures")
    return failures == 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 0 if self_test() else 1
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    offences, files = check_tree(pathlib.Path(sys.argv[1]).resolve())
    print("\n".join(offences), end="\n" if offences else "")
    print(f"{files} files checked, {len(offences)} offences")
    return 1 if offences or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
