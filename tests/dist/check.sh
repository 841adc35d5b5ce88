#!/usr/bin/env bash
# Tries what `cargo xtask dist` has made as a new user would: in an empty folder, with a home folder
# of its own, and without a network where the system lets us take it away.
#
# usage: tests/dist/check.sh DIST [ARGUMENTS OF pretrain byol …]
set -euo pipefail
dist=$(cd "$1" && pwd)
shift
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
offline=()
if unshare --net --map-root-user true 2> /dev/null; then
    offline=(unshare --net --map-root-user)
else
    echo "this system does not let us take the network away" >&2
fi

# The program `$1`, which must train and leave a report.
try() {
    local place=$here/$2
    mkdir -p "$place/home" && cd "$place"
    HOME=$place/home XDG_DATA_HOME= SELFSAME_DATA= "${offline[@]}" "$1" pretrain byol "${@:3}"
    test -s runs/byol-fashion-mini/report.html
    HOME=$place/home XDG_DATA_HOME= "${offline[@]}" "$1" --version
    echo "$2: a run with its report, without a network"
}

python3 -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --no-index "$dist"/selfsame-*.whl
try "$here/venv/bin/selfsame" wheel "$@"

mkdir "$here/unpacked"
tar -xzf "$dist"/selfsame-*.tar.gz -C "$here/unpacked" --strip-components 1
for file in README.md LICENSE-MIT completions/selfsame.bash man/selfsame-pretrain.1; do
    test -s "$here/unpacked/$file"
done
try "$here/unpacked/selfsame" archive "$@"
