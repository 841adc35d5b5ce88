#!/usr/bin/env bash
# Makes one file with all that benches/gpu/run.sh needs on a machine without Cargo and without a
# network: the program, and the libraries that not every system has. The program is built with CUDA
# and stripped; recipes, manifests and fashion-mini are in it.
#
#   benches/gpu/bundle.sh [FILE]        [selfsame-gpu.tar.xz]
#   tar -xf selfsame-gpu.tar.xz && selfsame-gpu/benches/gpu/run.sh --quick
#
# FEATURES      cuda or wgpu [cuda]
# SELFSAME_BIN  a program that has been built; nothing is built then
# LLVM          an LLVM whose C interface Burn's compiler can use, where LLVM 23 cannot be downloaded
#               [/usr/lib/llvm-22: Debian's llvm-22-dev libpolly-22-dev libzstd-dev zlib1g-dev
#               libxml2-dev]
# LIBDEVICE     libdevice.10.bc of a CUDA toolkit, if the other machine has none
# MOST          bytes that the file may have [45000000]
set -euo pipefail
cd "$(dirname "$0")/../.."
file=${1:-selfsame-gpu.tar.xz}
features=${FEATURES:-cuda}
most=${MOST:-45000000}
program=${SELFSAME_BIN:-}

if [ -z "$program" ]; then
    if [ "$features" = cuda ]; then
        # Where Burn's compiler looks for its LLVM, by the version of its crate.
        version=$(sed -n '/^name = "tracel-llvm-bundler"$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
        expected=${XDG_DATA_HOME:-$HOME/.local/share}/tracel/tracel-llvm-$version
        llvm=${LLVM:-/usr/lib/llvm-22}
        if [ ! -e "$expected/.tracel-llvm-installed" ] && [ -x "$llvm/bin/llvm-config" ]; then
            mkdir -p "$expected/bin"
            ln -sfn "$llvm/bin/llvm-config" "$expected/bin/llvm-config"
            ln -sfn "$llvm/include" "$expected/include"
            ln -sfn "$llvm/lib" "$expected/lib"
            touch "$expected/.tracel-llvm-installed"
        fi
        # Burn's bundler asks for a `liblibz3` of which nothing is used.
        mkdir -p target/gpu-bundle-lib
        [ -f target/gpu-bundle-lib/liblibz3.a ] || ar rcs target/gpu-bundle-lib/liblibz3.a
        export LIBRARY_PATH="$PWD/target/gpu-bundle-lib${LIBRARY_PATH:+:$LIBRARY_PATH}"
    fi
    cargo build --release --workspace --bin xtask --features "xtask/$features"
    program=target/release/xtask
fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
to=$stage/selfsame-gpu
mkdir -p "$to/bin" "$to/lib" "$to/datasets" "$to/benches/gpu"
strip -o "$to/bin/xtask" "$program"
cp benches/gpu/run.sh benches/gpu/torch_step.py "$to/benches/gpu/"
git log -1 --format='commit %h of %cs' > "$to/COMMIT" 2> /dev/null || echo 'no commit' > "$to/COMMIT"
# All but the C library's own, which has to be the system's.
ldd "$program" | awk '$3 ~ /^\// { print $3 }' | grep -Ev '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' | while read -r library; do
    cp -L "$library" "$to/lib/"
done
if [ -n "${LIBDEVICE:-}" ]; then
    mkdir -p "$to/nvvm/libdevice"
    cp "$LIBDEVICE" "$to/nvvm/libdevice/libdevice.10.bc"
fi

case $file in
    *.zst) tar -C "$stage" -cf - selfsame-gpu | zstd -q -19 -T0 -f -o "$file" ;;
    *) tar -C "$stage" -cf - selfsame-gpu | xz -9 -T1 > "$file" ;;
esac
bytes=$(stat -c %s "$file")
echo "$file: $bytes bytes"
if [ "$bytes" -gt "$most" ]; then
    echo "more than $most bytes" >&2
    exit 1
fi
