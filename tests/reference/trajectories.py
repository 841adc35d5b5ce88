"""Whole methods: 20 training steps from given weights on given views."""

import copy
import math

import torch
from lightly.loss import BarlowTwinsLoss
from torch import nn

from common import Output, fill, images
from networks import SmallResNet, mlp
from objectives import byol
from optimization import CombinedLars, groups, learning_rate, plain

STEPS, WARMUP, BATCH, SIDE, WIDTH, TAU = 20, 4, 16, 16, 4, 0.9
RULES = {
    "sgd": (0.05, lambda m: torch.optim.SGD(plain(groups(m, 1e-3)), lr=0.0, momentum=0.9)),
    "lars": (1.0, lambda m: CombinedLars(groups(m, 1e-3), 0.9, 0.01)),
}


class Branch(nn.Module):
    def __init__(self, projector):
        super().__init__()
        self.encoder, self.projector = SmallResNet(WIDTH), projector

    def forward(self, x):
        return self.projector(self.encoder(x))


class Byol(nn.Module):
    def __init__(self):
        super().__init__()
        self.online = Branch(mlp([8 * WIDTH, 32, 16], True, False))
        self.predictor = mlp([16, 32, 16], True, False)
        self.target = Branch(mlp([8 * WIDTH, 32, 16], True, False)).requires_grad_(False)

    def loss(self, a, b):
        q = [self.predictor(self.online(x)) for x in (a, b)]
        with torch.no_grad():
            z = [self.target(x) for x in (a, b)]
        return byol(q[0], z[1]) + byol(q[1], z[0])

    def after_step(self, step):
        tau = 1 - (1 - TAU) * (math.cos(math.pi * step / STEPS) + 1) / 2
        with torch.no_grad():
            for p, q in zip(self.target.parameters(), self.online.parameters()):
                p.mul_(tau).add_(q, alpha=1 - tau)


class BarlowTwins(Branch):
    def __init__(self):
        super().__init__(mlp([8 * WIDTH, 32, 32], False, False))

    def loss(self, a, b):
        return BarlowTwinsLoss(0.0051)(self(a), self(b))

    def after_step(self, step):
        pass


def trajectories(name):
    out = Output(name, "PyTorch, f64: torchvision's blocks, lightly's Barlow Twins loss, torch's SGD, LARS' equations")
    for method_name, build in [("byol", Byol), ("barlow-twins", BarlowTwins)]:
        for rule, (peak, optimizer_of) in RULES.items():
            if method_name == "barlow-twins" and rule == "sgd":
                peak = 0.002
            for accumulation in (1, 2):
                # The target starts as a copy of the online network.
                method = fill(build(), lambda n: n.replace("target.", "online."))
                method.train()
                optimizer = optimizer_of(nn.ModuleList(m for k, m in method.named_children() if k != "target"))
                losses = []
                for step in range(STEPS):
                    for group in optimizer.param_groups:
                        group["lr"] = learning_rate(step, peak, WARMUP, STEPS)
                    optimizer.zero_grad()
                    views = [images(10_000 + 100 * step + 10 * v, BATCH, SIDE) for v in range(2)]
                    # The second view shares half of the first.
                    views[1] = ((views[1] + views[0]) * 0.5).float().double()
                    total = 0.0
                    for part in zip(*(v.chunk(accumulation) for v in views)):
                        loss = method.loss(*part) / accumulation
                        loss.backward()
                        total += loss.item()
                    optimizer.step()
                    method.after_step(step)
                    losses.append(total)
                case = f"{method_name}/{rule}/{accumulation}"
                print(case, [round(l, 4) for l in losses], flush=True)
                out.add(f"{case}/losses", losses)
                for parameter_name, value in method.state_dict().items():
                    if not parameter_name.endswith("num_batches_tracked"):
                        out.add(f"{case}/final/{parameter_name}", value)
    out.write()
