#!/bin/sh
# A first look at Cairn with real data: this machine's own catalogue of Debian packages.
#
#   examples/demo.sh [PATH_TO_cairn [FOLDER]]
#
# Fetches the packages' full descriptions into FOLDER (a new one in /tmp by default) with apt's own means, as any
# user and without touching the system's lists; offline it takes what the system has. Imports them, builds the
# index, and searches. The database is left there, to go on with.
set -eu

examples=$(dirname "$0")
cairn=${1:-cairn}
command -v "$cairn" >/dev/null || { echo "usage: $0 PATH_TO_cairn (is it built?)" >&2; exit 2; }
command -v apt-get >/dev/null || { echo "$0 needs a Debian system (apt)" >&2; exit 1; }
work=${2:-$(mktemp -d "${TMPDIR:-/tmp}/cairn-demo.XXXXXX")}
db=$work/packages.cairn
apt_helper=/usr/lib/apt/apt-helper
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
[ ! -e "$db" ] || { echo "$db is there already; give another folder" >&2; exit 1; }

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n%s\n' "$*"; }

# Shows a command as one would type it, then runs it.
run() {
    line="cairn"
    for word; do
        case $word in
        *[!A-Za-z0-9_./=-]*) line="$line '$word'" ;;
        *) line="$line $word" ;;
        esac
    done
    say "\$ $line"
    "$cairn" "$@"
}

# Lists of our own: apt's hooks are left out, since they are about the system's.
fetch() {
    cat >"$work/apt.conf" <<CONF
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
Acquire::Retries "1";
Acquire::http::Timeout "15";
APT::Sandbox::User "root";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::Languages;
Acquire::Languages { "en"; };
CONF
    timeout 60 apt-get -qq -c "$work/apt.conf" update >"$work/apt.log" 2>&1 || true
}

# Prints the paragraphs of all lists in a folder whose names end like this, compressed or not.
lists() {
    for list in "$1"/*"$2" "$1"/*"$2".*; do
        [ -s "$list" ] || continue
        "$apt_helper" cat-file "$list"
        echo
    done
}
has() { [ -n "$(find "$1" -maxdepth 1 -name "*$2*" -size +0 2>/dev/null | head -n 1)" ]; }

say "Fetching the descriptions of Debian's packages (60 s at most; offline is fine)"
fetch
if has "$work/lists" _Packages; then
    source=$work/lists
    echo "fetched into $source"
elif has /var/lib/apt/lists _Packages; then
    source=/var/lib/apt/lists
    echo "not reachable ($(tail -n 1 "$work/apt.log")); taking the system's lists, with the one-line descriptions"
else
    source=
    echo "no lists at all; taking the packages that are installed"
fi
packages() {
    if [ -n "$source" ]; then
        lists "$source" _Translation-en
        lists "$source" _Packages
    else
        cat /var/lib/dpkg/status
    fi | awk -f "$examples/packages.awk"
}

say "\$ packages | cairn import $db - --lexical --no-optimize"
packages | "$cairn" import "$db" - --lexical --no-optimize
run index create "$db" section
run optimize "$db"

run search "$db" --text "recover deleted files from a damaged disk" --mode vector --k 5
run search "$db" --text "turn-based strategy game" --mode vector --filter '{"section":"games"}' --k 5
run search "$db" --text "web server with automatic certificates" --mode hybrid --k 5
run search "$db" --text "download videos" --mode hybrid --filter '{"size":{"$lt":100000}}' --k 5
run search "$db" --text "ripgrep" --mode lexical --domain utils --k 3
run retrieve "$db" --text "monitor network traffic" --domain net --mmr 0.7 --context --k 5

run collection list "$db"
say "The database is $db ($(du -sh "$db" | cut -f 1), with its index $(du -shc "$db" "$db".d 2>/dev/null | tail -n 1 | cut -f 1))."
echo "Go on with:  $cairn search $db --text \"...\""
echo "Remove with: rm -r $work"
