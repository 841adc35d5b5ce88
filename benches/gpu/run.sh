#!/usr/bin/env bash
# One GPU: whether it computes what the CPU does, how fast it trains beside PyTorch, where the time
# goes, what it learns.
#
#   benches/gpu/run.sh --quick      everything within six minutes, the most important first
#   benches/gpu/run.sh              the same with all methods, ResNet-50 and longer training, in
#                                   about an hour
#
# Needs the driver and a program that is already built: by
# `cargo build --release --workspace --bin xtask --features xtask/cuda`, or in a bundle of
# benches/gpu/bundle.sh. Every part has a time limit. If a part fails or is cut off, the report says
# so and the next part runs.
#
# SELFSAME_BIN   the program [bin/xtask of a bundle, else target/release/xtask]
# OUT            folder for report.md, steps.jsonl and the curve of the training [runs/gpu]
# DEVICE         cuda, cuda:1, wgpu [cuda]
# LIMIT          seconds for everything [340 with --quick, else 3600]
# CIFAR10        an archive or a folder of CIFAR-10's images; without it BYOL is not trained
# PYTHON         an interpreter with torch and torchvision to compare with [python3]
# CUDA_PATH      where nvvm/libdevice/libdevice.10.bc is [the bundle, /usr/local/cuda, or PYTHON's
#                nvidia-cuda-nvcc]
# WIDTH BATCHES STEPS   of the network and of its steps [64, "512 128 1024", 20]
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
quick=
[ "${1:-}" = --quick ] && quick=1
program=${SELFSAME_BIN:-$root/bin/xtask}
[ -x "$program" ] || program=$root/target/release/xtask
[ -x "$program" ] || { echo "no program: build one, or name it in SELFSAME_BIN" >&2; exit 2; }
out=${OUT:-$root/runs/gpu}
device=${DEVICE:-cuda}
limit=${LIMIT:-$([ "$quick" ] && echo 340 || echo 3600)}
python=${PYTHON:-python3}
width=${WIDTH:-64}
read -ra batches <<< "${BATCHES:-512 128 1024}"
steps=${STEPS:-20}
first=${batches[0]}
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
report=$out/report.md
SECONDS=0

# Where the program finds data sets.
export SELFSAME_DATA=$root/datasets
# For this program alone: PyTorch brings newer libraries of the same names.
program=("$program")
[ -d "$root/lib" ] && program=(env LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "${program[@]}")
if [ -z "${CUDA_PATH:-}" ]; then
    if [ -f "$root/nvvm/libdevice/libdevice.10.bc" ]; then
        export CUDA_PATH=$root
    elif [ ! -d /usr/local/cuda/nvvm ]; then
        found=$("$python" -c 'import nvidia.cuda_nvcc as package; print(list(package.__path__)[0])' 2> /dev/null) && export CUDA_PATH=$found
    fi
fi
# Nothing compiled before: what is measured is the same on every machine.
export SELFSAME_CACHE=$work/cache

say() { echo "$*" | tee -a "$report"; }
left() { echo $((limit - SECONDS)); }

# part SECONDS COMMAND…: runs COMMAND for at most SECONDS, or for the time that is left. Its output
# goes into the report.
part() {
    local most=$1 status text=$work/part.txt
    shift
    [ "$most" -gt "$(left)" ] && most=$(left)
    if [ "$most" -lt 5 ]; then
        say "not run: no time left ($*)"
        return 1
    fi
    local begun=$SECONDS
    timeout --kill-after=10 "$most" "$@" > "$text" 2> "$work/errors.txt"
    status=$?
    { echo '```'; cat "$text"; } | tee -a "$report"
    if [ "$status" != 0 ]; then
        { echo "FAILED with status $status after $((SECONDS - begun)) s (limit $most s)"; tail -n 5 "$work/errors.txt"; } | tee -a "$report"
    fi
    echo '```' | tee -a "$report"
    return "$status"
}

# One JSON object of `bench step` into steps.jsonl, and a line of it into the report.
json=$work/step.json
step() { # SECONDS ARGUMENTS…
    local most=$1
    shift
    [ "$most" -gt "$(left)" ] && most=$(left)
    [ "$most" -lt 5 ] && return 1
    timeout --kill-after=10 "$most" "${program[@]}" bench step --device "$device" --width "$width" --json "$@" > "$json" 2> "$work/errors.txt" || {
        tail -n 2 "$work/errors.txt" >&2
        : > "$json"
        return 1
    }
    cat "$json" >> "$out/steps.jsonl"
}
field() { grep -o "\"$1\":[0-9.eE+-]*" "$json" | head -n 1 | cut -d: -f2; }

: > "$out/steps.jsonl"
{
    echo "# One GPU"
    echo
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2> /dev/null || echo "$device"
    cat "$root/COMMIT" 2> /dev/null || git -C "$root" log -1 --format='commit %h of %cs' 2> /dev/null
    "$python" -c 'import torch; print("PyTorch", torch.__version__)' 2> /dev/null
} > "$report"

if [ "$quick" ]; then methods=(byol barlow-twins); long=1; else methods=(); long=10; fi
for precision in f32 bf16; do
    say ""
    say "## Losses and gradients against the CPU, $precision"
    part $((50 * long)) "${program[@]}" bench agree "${methods[@]}" --device "$device" --precision "$precision"
done

say ""
say "## Training steps"
peer=
"$python" -c 'import torch, torchvision; assert torch.cuda.is_available()' 2> /dev/null && peer=$root/benches/gpu/torch_step.py
: > "$work/peer.txt"
if [ "$peer" ] && [ "$width" = 64 ]; then
    all=$(IFS=,; echo "${batches[*]}")
    timeout 45 "$python" "$peer" "$width" "$all" "$steps" bf16,f32 >> "$work/peer.txt" 2> "$work/errors.txt" || tail -n 2 "$work/errors.txt" >&2
fi
theirs() { # MODE BATCH
    sed -n "s/^$1 $2 median \([0-9.]*\).*/\1/p" "$work/peer.txt"
}
rates=$work/rates.txt
: > "$rates"
best=0
for batch in "${batches[@]}"; do
    for precision in bf16 f32; do
        if step $((30 * long)) --batch "$batch" --steps "$steps" --precision "$precision"; then
            ours=$(field images_per_second)
            echo "$precision $batch $ours" >> "$rates"
            [ "$batch $precision" = "$first bf16" ] && best=$ours
        else
            echo "$precision $batch FAILED" >> "$rates"
        fi
    done
done
if [ "$peer" ] && [ "$width" = 64 ] && [ "$(left)" -gt 120 ]; then
    for precision in bf16 f32; do
        timeout $((35 * long)) "$python" "$peer" "$width" "$first" "$steps" "$precision-compile" 2> /dev/null | sed "s/^/$precision-compile $first /" >> "$work/peer.txt"
    done
fi
say ""
say "| | images/s here | PyTorch | ratio | compiled | ratio |"
say "| --- | --: | --: | --: | --: | --: |"
while read -r precision batch ours; do
    eager=$(theirs "$precision" "$batch")
    compiled=$(theirs "$precision-compile" "$batch")
    say "$(awk -v p="$precision" -v b="$batch" -v o="$ours" -v e="$eager" -v c="$compiled" 'BEGIN {
        printf "| %s, batch %s | %s | %s | %s | %s | %s |", p, b, o + 0 ? sprintf("%.0f", o) : o,
            e == "" ? "–" : sprintf("%.0f", e), e == "" || !(o + 0) ? "–" : sprintf("%.2f", o / e),
            c == "" ? "–" : sprintf("%.0f", c), c == "" || !(o + 0) ? "–" : sprintf("%.2f", o / c) }')"
done < "$rates"

say ""
say "## Launches and bytes of one step"
for precision in bf16 f32; do
    if step $((30 * long)) --batch "$first" --precision "$precision" --count; then
        say "- ResNet-18, $precision, batch $first: $(field launches) launches, $(field read) bytes read, $(field written) written, $(field least_bytes) the least possible"
    else
        say "- ResNet-18, $precision, batch $first: FAILED"
    fi
done
if step $((30 * long)) --batch "$first" --precision bf16 --count --method byol; then
    say "- BYOL, bf16, batch $first: $(field launches) launches, $(field read) bytes read, $(field written) written"
else
    say "- BYOL, bf16, batch $first: FAILED"
fi

say ""
say "## Where a step goes, bf16, batch $first"
part $((30 * long)) "${program[@]}" bench step --device "$device" --width "$width" --batch "$first" --precision bf16 --profile

small=$([ "$first" -lt 128 ] && echo "$first" || echo 128)
say ""
say "## The first step, bf16, batch $small"
for start in cold warm; do
    if SELFSAME_CACHE=$work/start step $((45 * long)) --batch "$small" --steps 1 --precision bf16; then
        say "- $start: after $(printf %.1f "$(field first_step_seconds)") s, $(field kernels_compiled) kernels compiled"
    else
        say "- $start: FAILED"
    fi
done

if [ ! "$quick" ]; then
    for batch in 256 512; do
        say ""
        say "## ResNet-50 at 224 pixels, batch $batch, bf16"
        compared=()
        [ "$peer" ] && compared=(--peer "$python $peer" --peer-modes bf16,bf16-compile)
        part 600 "${program[@]}" bench step --device "$device" --width 64 --steps "$steps" --precision bf16 --architecture resnet50 --size 224 \
            --batch "$batch" "${compared[@]}"
    done
fi

[ -n "${CIFAR10:-}" ] || { say ""; say "CIFAR10 names no images: nothing was trained"; exit 0; }
trained() { # METHOD SECONDS
    local method=$1 most=$2 folder=$work/$1 epochs
    # Of a step of the bare network: two views forward and backward, and the target's two forward.
    epochs=$(awk -v rate="$best" -v time="$most" 'BEGIN { n = int(0.7 * time * rate / 3 / 50000); print (n < 1 ? 1 : n) }')
    say ""
    say "## $method on CIFAR-10, $epochs epochs or $most s"
    timeout --kill-after=15 "$most" "${program[@]}" pretrain "$method" --recipe cifar10-gpu-1h --dataset cifar10-gpu --device "$device" --precision bf16 \
        --out "$folder" --set views.on_device=true --set "encoder.base_width=$width" --set "train.epochs=$epochs" \
        --set "eval.every=$((epochs > 8 ? epochs / 8 : 1))" --set eval.linear_probe=false ${SET:-} > "$work/run.txt" 2> "$work/errors.txt"
    # 75: it was asked to end, and has saved what it learnt.
    local status=$?
    [ "$status" = 0 ] || [ "$status" = 75 ] || tail -n 3 "$work/errors.txt" | tee -a "$report"
    cp "$folder/metrics.jsonl" "$out/$method-metrics.jsonl" 2> /dev/null
    cp "$folder/summary.json" "$out/$method-summary.json" 2> /dev/null
    sed -n 's/.*"epoch":\([0-9.]*\).*"knn_top1":\([0-9.]*\).*"train_seconds":\([0-9.]*\).*/- epoch \1, after \3 s: k-NN \2/p' \
        "$folder/metrics.jsonl" 2> /dev/null | tee -a "$report"
    tail -n 1 "$work/errors.txt" | tee -a "$report"
}
[ "$(left)" -gt 20 ] || { say ""; say "no time left to train"; exit 0; }
export XDG_CACHE_HOME=$work/xdg
[ -d "$root/datasets/cifar10-gpu" ] || part 60 "${program[@]}" dataset import cifar10-gpu "$CIFAR10" || exit 1
if [ "$quick" ]; then
    trained byol $(($(left) - 5))
else
    half=$((($(left) - 10) / 2))
    trained byol "$half"
    trained barlow-twins "$half"
fi
echo "$report"
