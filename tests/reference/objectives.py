"""Loss values and gradients."""

import torch
from lightly.loss import BarlowTwinsLoss

from common import Output, noise, sampled

# (batch, dim, scale, offset): many shapes, nearly collapsed, large offsets.
SHAPES = [
    (2, 1, 1.0, 0.0),
    (2, 8192, 1.0, 0.0),
    (3, 7, 1.0, 0.0),
    (16, 2048, 1.0, 0.0),
    (33, 17, 1.0, 0.0),
    (64, 512, 1.0, 0.0),
    (512, 1, 1.0, 0.0),
    (512, 256, 1.0, 0.0),
    (64, 32, 1e-3, 0.5),
    (64, 32, 1e-2, 1.0),
    (64, 32, 1.0, 100.0),
    (128, 64, 5.0, -1000.0),
    (64, 32, 1e-5, 0.0),
    (64, 32, 1e4, 0.0),
]


def pair(batch, dim, scale, offset):
    """Two views that agree in part, as embeddings do: b = noise + a half of a."""
    a = noise(batch * 31 + dim, batch, dim, scale=scale, offset=offset)
    b = noise(batch * 37 + dim + 1, batch, dim, scale=scale, offset=offset)
    # f32 arithmetic, the same on both sides.
    b = (b.float() + a.float() * torch.tensor(0.5)).double()
    return a, b


def byol(q, z):
    """Grill et al., 2020, eq. 2, one direction, by PyTorch's own cosine."""
    return (2 - 2 * torch.nn.functional.cosine_similarity(q, z, dim=1, eps=1e-12)).mean()


def losses(name):
    out = Output(name, "BYOL: 2 - 2 cosine_similarity; Barlow Twins: lightly's BarlowTwinsLoss(0.0051); f64")
    for batch, dim, scale, offset in SHAPES:
        case = f"{batch}x{dim}x{scale:g}x{offset:g}"
        a, b = pair(batch, dim, scale, offset)
        for loss_name, loss in [("byol", byol), ("barlow-twins", BarlowTwinsLoss(0.0051))]:
            x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
            value = loss(x, y) if loss_name != "byol" else loss(x, y.detach())
            value.backward()
            out.add(f"{loss_name}/{case}/loss", value)
            out.add(f"{loss_name}/{case}/grad_a", sampled(x.grad))
            if y.grad is not None:
                out.add(f"{loss_name}/{case}/grad_b", sampled(y.grad))
    out.write()
