"""Optimisers, schedules, and the average of the target."""

import math

import torch
from lightly.utils.lars import LARS
from lightly.utils.scheduler import cosine_schedule

from common import Output, fill, noise, name_seed
from networks import mlp

STEPS, WARMUP, PEAK = 50, 5, 0.1


def learning_rate(step, peak=PEAK, warmup=WARMUP, steps=STEPS, final=0.0):
    if step < warmup:
        return peak * step / warmup
    # torch.optim.lr_scheduler.CosineAnnealingLR in its closed form.
    progress = (step - warmup) / (steps - warmup)
    return peak * final + (peak - peak * final) * (1 + math.cos(math.pi * progress)) / 2


class CombinedLars(torch.optim.Optimizer):
    """LARS with η‖w‖/‖g + λw‖; with `clip`, the ratio over the rate is limited to 1 (LARC)."""

    def __init__(self, groups, momentum, eta, separate=False, clip=False):
        super().__init__(groups, dict(lr=0.0, momentum=momentum))
        self.eta, self.separate, self.clip = eta, separate, clip

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for w in group["params"]:
                u = w.grad
                if group["adapt"]:
                    wd = group["weight_decay"]
                    u = u + wd * w
                    norm, denominator = w.norm(), u.norm()
                    if self.separate:
                        denominator = w.grad.norm() + wd * norm + 1e-8
                    ratio = self.eta * norm / denominator if norm > 0 and w.grad.norm() > 0 else 1.0
                    if self.clip:
                        # A rate of 0 (the first warm-up step) divides to infinity, clipped to 1.
                        ratio = min(ratio / group["lr"], 1.0) if group["lr"] > 0 else 1.0
                    u = ratio * u
                state = self.state[w]
                state["v"] = state["v"] * group["momentum"] + u if "v" in state else u.clone()
                w.sub_(group["lr"] * state["v"])


def groups(module, weight_decay, exclude=True):
    matrices = [p for p in module.parameters() if p.ndim > 1 or not exclude]
    vectors = [p for p in module.parameters() if p.ndim <= 1 and exclude]
    result = [dict(params=matrices, weight_decay=weight_decay, adapt=True)]
    if vectors:
        result.append(dict(params=vectors, weight_decay=0.0, adapt=False))
    return result


def plain(groups):
    return [{k: v for k, v in g.items() if k != "adapt"} for g in groups]


RULES = {
    "sgd": lambda m: torch.optim.SGD(plain(groups(m, 1e-2)), lr=PEAK, momentum=0.9),
    "sgd-nesterov": lambda m: torch.optim.SGD(plain(groups(m, 1e-2, False)), lr=PEAK, momentum=0.9, nesterov=True),
    "adamw": lambda m: torch.optim.AdamW(plain(groups(m, 1e-2)), lr=PEAK),
    "lars-separate": lambda m: LARS(plain(groups(m, 1e-2)), lr=PEAK, momentum=0.9, trust_coefficient=0.02),
    "lars-combined": lambda m: CombinedLars(groups(m, 1e-2), 0.9, 0.02),
    "lars-combined-no-decay": lambda m: CombinedLars(groups(m, 0.0), 0.9, 0.02),
    "lars-separate-clip": lambda m: CombinedLars(groups(m, 1e-2), 0.9, 0.02, separate=True, clip=True),
}


def optimizers(name):
    out = Output(
        name,
        "torch.optim.SGD and AdamW, lightly.utils.lars.LARS, LARS' equations in torch; f64; 50 steps of "
        "warm-up and cosine on a head of [7, 9, 4] with the gradient noise(step ^ name)",
    )
    for rule, build in RULES.items():
        head = fill(mlp([7, 9, 4], True, True))
        optimizer = build(head)
        for step in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step)
            for parameter_name, p in head.named_parameters():
                p.grad = noise((name_seed(parameter_name) + step) % 2**64, *p.shape)
            optimizer.step()
            if step + 1 in (1, 2, 10, STEPS):
                for parameter_name, p in head.named_parameters():
                    out.add(f"{rule}/{step + 1}/{parameter_name}", p)
    # Momentum average of the target along the τ schedule.
    target, online = fill(mlp([7, 9, 4], True, True)), mlp([7, 9, 4], True, True).double()
    for step in range(STEPS):
        tau = cosine_schedule(step, STEPS + 1, 0.9, 1.0)
        with torch.no_grad():
            for parameter_name, p in online.named_parameters():
                p.copy_(noise((name_seed(parameter_name) + step) % 2**64, *p.shape))
            for p, q in zip(target.parameters(), online.parameters()):
                p.mul_(tau).add_(q, alpha=1 - tau)
    for parameter_name, p in target.named_parameters():
        out.add(f"ema/{STEPS}/{parameter_name}", p)
    out.write()


def schedules(name):
    out = Output(
        name,
        "linear warm-up, then torch's CosineAnnealingLR stepped; τ by lightly's cosine_schedule with "
        "max_steps + 1 (lightly reaches 1 one step before the paper's equation does)",
    )
    for peak, warmup, steps, final in [(0.4, 0, 10, 0.0), (0.4, 10, 110, 0.001), (1.0, 3, 7, 0.0), (3.2, 100, 1000, 0.1)]:
        p = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([p], lr=peak)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - warmup, eta_min=peak * final)
        values = [peak * s / warmup for s in range(warmup)]
        for _ in range(steps - warmup + 1):
            values.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        out.add(f"learning-rate/{peak:g}/{warmup}/{steps}/{final:g}", values)
    for base, steps in [(0.99, 10), (0.996, 1000), (0.0, 7), (1.0, 3)]:
        values = [cosine_schedule(s, steps + 1, base, 1.0) for s in range(steps + 1)]
        out.add(f"tau/{base:g}/{steps}", values)
    out.write()
