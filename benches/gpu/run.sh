#!/usr/bin/env bash
# One NVIDIA GPU: whether it computes what the CPU does, how fast it trains beside PyTorch, and what it learns on CIFAR-10.
#
#   benches/gpu/run.sh [MINUTES] [CIFAR10]
#
# MINUTES: how long each of BYOL and Barlow Twins may train (default 30; 0: not at all).
# CIFAR10: an archive or a folder of CIFAR-10's images to import, where it cannot be downloaded.
# PYTHON: an interpreter with torch and torchvision for the comparison (default python3; without them it is left out).
# CUDA_PATH: where nvvm/libdevice/libdevice.10.bc is, if not in /usr/local/cuda; found by itself where PYTHON has the package
# nvidia-cuda-nvcc-cu12, which is all that is needed of CUDA besides the driver.
# Everything lands in runs/gpu/: report.md, the JSON of every measurement, the runs.
set -euo pipefail
cd "$(dirname "$0")/../.."
minutes=${1:-30}
cifar=${2:-}
out=runs/gpu
python=${PYTHON:-python3}
mkdir -p "$out"
if [ -z "${CUDA_PATH:-}" ] && [ ! -d /usr/local/cuda/nvvm ]; then
    CUDA_PATH=$("$python" -c 'import nvidia.cuda_nvcc as package; print(list(package.__path__)[0])' 2> /dev/null) && export CUDA_PATH || unset CUDA_PATH
fi

echo "building with CUDA (the first time takes some ten minutes)"
cargo build --release -p xtask --features cuda
xtask() { CARGO_MANIFEST_DIR="$PWD/xtask" target/release/xtask "$@"; }

report="$out/report.md"
{
    echo "# One GPU"
    echo
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
    git log -1 --format='commit %h of %cs'
} > "$report"

echo "the GPU against the CPU"
for precision in f32 bf16; do
    {
        printf '\n## Losses of the first steps, %s\n\n```\n' "$precision"
        xtask bench agree --device cuda --precision "$precision" || echo "FAILED"
        echo '```'
    } | tee -a "$report"
done

echo "training steps"
peer=()
if "$python" -c 'import torch, torchvision; assert torch.cuda.is_available()' 2> /dev/null; then
    peer=(--peer "$python benches/gpu/torch_step.py" --rounds 3)
else
    echo "no PyTorch with CUDA in $python: ours alone" | tee -a "$report"
fi
steps() { # NAME PRECISION ARGUMENTS…
    local name=$1 precision=$2
    shift 2
    local compared=()
    if [ ${#peer[@]} -gt 0 ]; then compared=("${peer[@]}" --peer-modes "$precision,$precision-compile"); fi
    {
        printf '\n## %s, %s\n\n```\n' "$name" "$precision"
        xtask bench step --device cuda --width 64 --steps 30 --precision "$precision" "$@" "${compared[@]}" || echo "FAILED"
        echo '```'
    } | tee -a "$report"
}
for precision in f32 bf16; do
    for batch in 256 512 1024; do
        steps "ResNet-18 for CIFAR, batch $batch" "$precision" --batch "$batch"
    done
    for batch in 256 512; do
        steps "ResNet-50 at 224 pixels, batch $batch" "$precision" --architecture resnet50 --size 224 --batch "$batch"
    done
done

[ "$minutes" = 0 ] && exit
dataset=cifar10
if [ -n "$cifar" ]; then
    dataset=cifar10-gpu
    [ -d "datasets/$dataset" ] || xtask dataset import "$dataset" "$cifar"
else
    xtask dataset download "$dataset"
fi
for method in byol barlow-twins; do
    echo "$method on CIFAR-10 for $minutes minutes"
    common=(--recipe cifar10-gpu-1h --dataset "$dataset" --device cuda --precision bf16)
    # Measured first: whether the CPU keeps up with making views, and how many epochs fit; the schedules end with them.
    speeds=()
    for on_device in false true; do
        speed="$out/$method-speed-$on_device"
        rm -rf "$speed"
        xtask pretrain "$method" "${common[@]}" --out "$speed" --set "views.on_device=$on_device" --set train.stop_after=2 \
            --set eval.every=0 --json > "$speed.json"
        speeds+=("$speed.json")
    done
    read -r on_device epochs < <("$python" - "$minutes" "${speeds[@]}" <<'PYTHON'
import json, sys
minutes, *files = sys.argv[1:]
cpu, device = [json.load(open(file)) for file in files]
for where, run in [("the CPU", cpu), ("the GPU", device)]:
    share = run["data_wait_seconds"] / run["train_seconds"]
    print(f"views on {where}: {run['images_per_second']:.0f} images/s, waiting for the loader {100 * share:.1f} %", file=sys.stderr)
best = max(cpu, device, key=lambda run: run["images_per_second"])
epochs = max(5, round(float(minutes) * 60 * best["images_per_second"] / best["train_images"]))
print("true" if best is device else "false", epochs)
PYTHON
    )
    nvidia-smi --query-gpu=utilization.gpu,memory.used --format=csv,noheader,nounits -l 5 > "$out/$method-gpu.csv" &
    watch=$!
    xtask pretrain "$method" "${common[@]}" --out "$out/$method" --resume auto --json \
        --set "views.on_device=$on_device" --set "train.epochs=$epochs" --set "eval.every=$((epochs / 10 > 0 ? epochs / 10 : 1))" > "$out/$method.json"
    kill "$watch"
    "$python" - "$method" "$out" >> "$report" <<'PYTHON'
import json, statistics, sys
method, out = sys.argv[1:]
run = json.load(open(f"{out}/{method}.json"))
used = [float(line.split(",")[0]) for line in open(f"{out}/{method}-gpu.csv") if line.strip()]
waited = run["data_wait_seconds"] / run["train_seconds"]
print(f"\n## {method} on CIFAR-10\n")
print(f"{run['epochs']:.0f} epochs in {run['train_seconds']:.0f} s, {run['images_per_second']:.0f} images/s; "
      f"k-NN {run['knn_top1']:.4f}, linear probe {run['linear_top1']:.4f} (untrained {run['knn_top1_random_init']:.4f}); "
      f"GPU in use {statistics.mean(used):.0f} % of the time, waiting for the loader {100 * waited:.1f} %.")
print("Published: lightly's BYOL 86.8 k-NN after 200 epochs; solo-learn's 92.58 (BYOL) and 92.10 (Barlow Twins) linear after 1000.")
PYTHON
    xtask eval "$out/$method" --quick > "$out/$method-eval.txt" || true
done
xtask report "$out/byol" "$out/barlow-twins" --out "$out/report.html" || true
echo "$report"
