"""The step that `cargo xtask bench step` measures, in PyTorch on a GPU.

Called as its peer: torch_step.py WIDTH BATCH STEPS MODE [ARCHITECTURE SIZE], where MODE is f32,
bf16, f32-compile or bf16-compile. Forward, mean-square loss of a 256-wide linear head, backward and
SGD on one random batch; channels last, bf16 by autocast. TF32 is allowed for f32, as Burn's kernels
may use it too. Prints `median N images/s`.

BATCH and MODE may be lists with commas between. Then it prints one line for each pair, with mode
and batch before the figure.
"""

import statistics
import sys
import time

import torch
import torchvision


def network(architecture: str, width: int, size: int) -> torch.nn.Module:
    if width != 64:
        sys.exit("torchvision's ResNets have a width of 64")
    net = getattr(torchvision.models, architecture)(num_classes=256)
    if size <= 64:
        net.conv1 = torch.nn.Conv2d(3, width, 3, 1, 1, bias=False)
        net.maxpool = torch.nn.Identity()
    return net


def rate(architecture: str, width: int, size: int, batch: int, steps: int, mode: str) -> float:
    torch.manual_seed(0)
    net = network(architecture, width, size).cuda().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    images = torch.randn(batch, 3, size, size, device="cuda").to(memory_format=torch.channels_last)

    def step() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=mode.startswith("bf16")):
            loss = net(images).float().square().mean()
        loss.backward()
        optimizer.step()
        return loss

    if mode.endswith("compile"):
        step = torch.compile(step)
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    rates = []
    for _ in range(steps):
        start = time.perf_counter()
        # As ours: the step is over when its loss can be read.
        step().item()
        rates.append(batch / (time.perf_counter() - start))
    return statistics.median(rates)


def main() -> None:
    width, steps = int(sys.argv[1]), int(sys.argv[3])
    batches, modes = ([word for word in sys.argv[at].split(",")] for at in (2, 4))
    architecture, size = (sys.argv[5], int(sys.argv[6])) if len(sys.argv) > 6 else ("resnet18", 32)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    several = len(batches) * len(modes) > 1
    for mode in modes:
        for batch in batches:
            found = rate(architecture, width, size, int(batch), steps, mode)
            of = f"{mode} {batch} " if several else ""
            # At once: whoever waits for it may stop waiting before the next one is there.
            print(f"{of}median {found:.1f} images/s", flush=True)


if __name__ == "__main__":
    main()
