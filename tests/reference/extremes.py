"""The nine losses on wide embeddings, far from 0, and with half of a batch alike.

Computed in f64; also how far PyTorch's f32 is from that.
"""

import json

import torch
from lightly.loss import BarlowTwinsLoss, DINOLoss, NegativeCosineSimilarity, NTXentLoss, VICRegLoss

from common import FOLDER, noise
from directions import directions
from objectives import epps_pulley, moco_v3, w_mse

SHAPES = [(8, 8192), (256, 2048), (37, 513), (16, 8)]
# Whitening needs more vectors that differ than dimensions, also where half of them are alike.
WHITENING_SHAPES = [(256, 64), (64, 31), (37, 13), (16, 4)]
CONDITIONS = ["plain", "far from 0", "half alike"]
SAMPLES, PROJECTIONS = 48, 2


def pair(batch, dim, condition):
    """Two views that agree in part: tensors of f64 with values of f32.

    Every step is one operation in f32.
    """
    a = noise(batch * 31 + dim, batch, dim).float()
    b = noise(batch * 37 + dim + 1, batch, dim).float() + a * torch.tensor(0.5)
    if condition == "far from 0":
        a, b = a + 1000, b + 1000
    if condition == "half alike":
        for view in (a, b):
            view[batch // 2 :] = view[0]
    return a.double(), b.double()


def unit(z):
    return torch.nn.functional.normalize(z, dim=1)


def byol(q, z):
    """Of the two forms of the loss that with the smaller rounding."""
    return (unit(q) - unit(z.detach())).square().sum(1).mean()


def simsiam(p, z):
    return NegativeCosineSimilarity()(p, z.detach())


def dino(students, teachers):
    """On either side the second view is the first with its rows reversed. The centre is a row."""
    loss = DINOLoss(students.shape[1], student_temp=0.1).to(students.dtype)
    loss.center.copy_(teachers[0])
    views = [[x, x.flip(0)] for x in (teachers.detach(), students)]
    return loss(*views, teacher_temp=0.04)


DIRECTIONS = {}


def le_jepa(a, b):
    """lambda 0.02, 256 directions of seed 0."""
    dim = a.shape[1]
    if dim not in DIRECTIONS:
        DIRECTIONS[dim] = torch.from_numpy(directions(dim, 256, 0))
    sliced = DIRECTIONS[dim].to(a.dtype)
    mean = (a + b) / 2
    prediction = torch.stack([a - mean, b - mean]).square().mean()
    return 0.98 * prediction + 0.02 * (epps_pulley(a @ sliced) + epps_pulley(b @ sliced)) / 2


LOSSES = {
    "BYOL": (byol, "a", SHAPES),
    "Barlow Twins": (lambda a, b: BarlowTwinsLoss(0.0051)(a, b), "ab", SHAPES),
    "NT-Xent": (lambda a, b: NTXentLoss(0.5)(a, b), "ab", SHAPES),
    "MoCo v3": (lambda q, k: moco_v3(1.0, q, k.detach()), "a", SHAPES),
    "SimSiam": (simsiam, "a", SHAPES),
    "VICReg": (lambda a, b: VICRegLoss()(a, b), "ab", SHAPES),
    "W-MSE": (lambda a, b: w_mse(len(a), 0.0, a, b), "ab", WHITENING_SHAPES),
    "DINO": (dino, "a", SHAPES),
    "LeJEPA": (le_jepa, "ab", SHAPES),
}


def measured(loss, learns, views):
    """What is compared: the value; of each gradient some elements, some projections and the norm."""
    views = [z.clone().requires_grad_(side in learns) for side, z in zip("ab", views)]
    value = loss(*views)
    value.backward()
    gradients = {}
    for side, z in zip("ab", views):
        if side in learns:
            flat = z.grad.double().reshape(-1)
            onto = [noise(1000 + i, flat.numel()) for i in range(PROJECTIONS)]
            gradients[side] = {
                "samples": flat[:: max(1, flat.numel() // SAMPLES)][:SAMPLES].tolist(),
                "projections": [torch.dot(flat, direction).item() for direction in onto],
                "norm": flat.norm().item(),
            }
    return value.item(), gradients


def error(ours, reference):
    """`extremes.rs` has the same."""
    difference = max(abs(o - r) for o, r in zip(ours["samples"], reference["samples"]))
    largest = max(abs(r) for r in reference["samples"])
    rest = [*ours["projections"], ours["norm"]], [*reference["projections"], reference["norm"]]
    return max(difference / largest, *(abs(o - r) / reference["norm"] for o, r in zip(*rest)))


def rounded(value):
    """Nine digits, which tell all f32 apart."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.8e}")


def extremes(name):
    cases = []
    for loss_name, (loss, learns, shapes) in LOSSES.items():
        for condition in CONDITIONS:
            for batch, dim in shapes:
                views = pair(batch, dim, condition)
                value, gradients = measured(loss, learns, views)
                value_f32, gradients_f32 = measured(loss, learns, [z.float() for z in views])
                f32 = {
                    "value": abs(value_f32 - value) / abs(value),
                    "gradient": max(error(gradients_f32[side], gradients[side]) for side in gradients),
                }
                case = {"loss": loss_name, "condition": condition, "batch": batch, "dim": dim}
                cases.append(case | rounded({"value": value, "gradients": gradients, "torch_f32": f32}))
                print(loss_name, condition, batch, dim, f32, flush=True)
    path = FOLDER / f"{name}.json"
    made = {"generator": "tests/reference/generate.py", "torch": torch.__version__.split("+")[0]}
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path.write_text(f'{{"made":{json.dumps(made)},"cases":[\n{lines}\n]}}\n')
    print(f"{path.name}: {len(cases)} cases, {path.stat().st_size / 1e3:.0f} kB", flush=True)
