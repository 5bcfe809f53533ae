#!/usr/bin/env bash
# Runs ./dev on a bare Debian 12, as a newcomer would: in a fresh minbase root, once as root and once, in a
# second copy of it, as a user with sudo. Tests what is committed, not the working tree.
# Usage (as root): tools/debootstrap_check.sh [dev arguments ...]   default: demo test
#   each argument is one run of ./dev, as in: tools/debootstrap_check.sh "setup test" demo
# Needs debootstrap. The mirror, the proxy and the keys are those of this host's apt. Works in $TMPDIR, in some
# 5 GB; mounts live in a namespace of each command, so that nothing stays mounted however this script ends.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && git rev-parse --show-toplevel)
[ "$(id -u)" = 0 ] || { echo "debootstrap_check: run it as root" >&2; exit 1; }
[ $# -gt 0 ] || set -- demo test

work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-debian.XXXXXX")
chmod 755 "$work"
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' INT TERM HUP

# shellcheck disable=SC2016 # apt's own variables
mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "bookworm" { print $2; exit }')
[ -n "$mirror" ] || { echo "debootstrap_check: apt has no mirror of bookworm: apt-get update" >&2; exit 1; }
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
export http_proxy=${http_proxy:-} https_proxy=${https_proxy:-} # for debootstrap; apt.conf is copied

private() { unshare --mount --pid --fork --kill-child -- "$@"; }

# inside <root> <command>...: in the root, with /proc and /dev, and the repository at /repository.
inside() {
    # shellcheck disable=SC2016 # for the inner shell
    private bash -c 'root=$1 repository=$2; shift 2
        mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
            mount --bind "$repository" "$root/repository" &&
            exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
                chroot "$root" "$@"' \
        - "$1" "$repository" "${@:2}"
}

bare=$work/bare
private debootstrap --variant=minbase bookworm "$bare" "$mirror" >"$work/debootstrap.log" ||
    { tail "$work/debootstrap.log"; exit 1; }
rm "$bare/etc/apt/sources.list" # the host's take its place
host_files=(/etc/apt/{sources.list*,apt.conf*,auth.conf*,trusted.gpg*,keyrings} /usr/share/keyrings
    /etc/ssl/certs/ca-certificates.crt /etc/hosts)
tar -c --ignore-failed-read "${host_files[@]}" 2>/dev/null | tar -x -C "$bare"
mkdir "$bare/repository"
inside "$bare" sh -ec 'apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends git sudo >/dev/null
    apt-get clean; rm -rf /var/lib/apt/lists/*
    git config --system safe.directory "*"
    useradd --create-home --shell /bin/bash newcomer
    echo "newcomer ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/newcomer'

status=0
times=()
for who in root newcomer; do
    cp -a "$bare" "$work/$who"
    inside "$work/$who" sudo -iu "$who" git clone -q /repository cairn
    for arguments in "$@"; do
        printf '\n==== %s: ./dev %s\n' "$who" "$arguments"
        start=$SECONDS result=ok
        inside "$work/$who" sudo -iu "$who" sh -c "cd cairn && ./dev $arguments" </dev/null ||
            { result="FAILED ($?)" status=1; }
        times+=("$who: ./dev $arguments: $((SECONDS - start)) s, $result")
    done
    rm -rf --one-file-system "${work:?}/$who"
done
printf '\n'
printf '%s\n' "${times[@]}"
exit $status
