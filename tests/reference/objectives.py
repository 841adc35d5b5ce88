"""Loss values and gradients."""

import functools

import torch
from lightly.loss import BarlowTwinsLoss, DINOLoss, NegativeCosineSimilarity, NTXentLoss, SIGReg, VICRegLoss
from lightly.loss.wmse_loss import Whitening2d

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


# The other methods' losses. In one dimension a direction is a sign and has no gradient, so only the
# losses of moments see that case. Whitening needs slices that span the space, and more than a
# simplex.
METHOD_SHAPES = [
    (3, 7, 1.0, 0.0),
    (33, 17, 1.0, 0.0),
    (64, 512, 1.0, 0.0),
    (128, 64, 1.0, 0.0),
    (64, 32, 1.0, 100.0),
    (64, 32, 1e-2, 1.0),
    (64, 32, 1e-3, 0.0),
    (64, 32, 30.0, 0.0),
]
ONE_DIMENSION = [(256, 1, 1.0, 0.0), (64, 1, 1e-2, 1.0)]
SLICED_SHAPES = [(33, 17, 1.0, 0.0), (48, 7, 1.0, 0.0)]
WHITENING_SHAPES = [
    *SLICED_SHAPES,
    (128, 64, 1.0, 0.0),
    (64, 32, 1.0, 10.0),
    (64, 32, 1e-2, 1.0),
    (64, 32, 1e3, 0.0),
]


def nt_xent(temperature, a, b):
    return NTXentLoss(temperature)(a, b)


def moco_v3(temperature, q, k):
    """Chen, Xie & He, 2021, algorithm 1: ctr(q, k)."""
    q = q / q.norm(dim=1, keepdim=True)
    k = k / k.norm(dim=1, keepdim=True)
    logits = torch.einsum("nc,mc->nm", q, k) / temperature
    return 2 * temperature * torch.nn.functional.cross_entropy(logits, torch.arange(len(q)))


def vicreg(a, b):
    return VICRegLoss()(a, b)


def simsiam(p, z):
    """One direction twice, so that the whole is that direction."""
    cosine = NegativeCosineSimilarity()
    return 0.5 * cosine(p, z) + 0.5 * cosine(p, z)


def dino(teacher_temperature, students, teachers):
    """On either side the second view is the first with its rows reversed. The centre is a row."""
    loss = DINOLoss(students.shape[1], student_temp=0.1).double()
    loss.center.copy_(teachers[0])
    views = [[x, x.flip(0)] for x in (teachers, students)]
    return loss(*views, teacher_temp=teacher_temperature)


def whiten(v, epsilon):
    """Ermolov et al., 2021, eq. 5: W (v - mu). W is the covariance's inverse Cholesky factor."""
    centred = v - v.mean(0)
    covariance = centred.T @ centred / (len(v) - 1) + epsilon * torch.eye(v.shape[1], dtype=v.dtype)
    return torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), centred.T, upper=False).T


def w_mse(sub_batch, epsilon, a, b):
    """Both views of a slice whitened together; the rest joins the last slice."""
    starts = [i * sub_batch for i in range(max(1, len(a) // sub_batch))]
    total = 0
    for start, end in zip(starts, [*starts[1:], len(a)]):
        z = whiten(torch.cat([a[start:end], b[start:end]]), epsilon)
        cosines = torch.nn.functional.cosine_similarity(z[: end - start], z[end - start :], dim=1, eps=1e-12)
        total = total + (2 - 2 * cosines).sum()
    return total / len(a)


def epps_pulley(samples):
    """Balestriero & LeCun, 2025: N * integral over [-3, 3] of |ecf - cf|^2 * window.

    The mean over columns.
    """
    t = torch.linspace(0, 3, 17, dtype=samples.dtype)
    window = torch.exp(-(t**2) / 2)
    ecf = torch.exp(1j * samples[:, :, None] * t).mean(0)
    return len(samples) * 2 * torch.trapezoid((ecf - window).abs() ** 2 * window, t, dim=1).mean()


def le_jepa(a, b):
    """lambda 0.02, of one-dimensional embeddings.

    Every direction is +1 or -1, and the statistic is even.
    """
    mean = (a + b) / 2
    prediction = torch.stack([a - mean, b - mean]).square().mean()
    return 0.98 * prediction + 0.02 * (epps_pulley(a) + epps_pulley(b)) / 2


def agrees_with_lightly(a, b):
    """What is written out above, where lightly has the same in another form."""
    whitening = Whitening2d(a.shape[1], track_running_stats=False, eps=0).double()
    torch.testing.assert_close(whiten(torch.cat([a, b]), 0), whitening(torch.cat([a, b])))
    sigreg = SIGReg().double()
    sigreg._generate_unit_vectors = lambda *_: torch.eye(a.shape[1], dtype=a.dtype)
    torch.testing.assert_close(epps_pulley(a), sigreg(a), rtol=1e-6, atol=1e-7)


# Name: (loss, where it sends its gradient, shapes).
METHODS = {
    "nt-xent-0.5": (functools.partial(nt_xent, 0.5), "ab", METHOD_SHAPES),
    "nt-xent-0.05": (functools.partial(nt_xent, 0.05), "ab", METHOD_SHAPES),
    "moco-v3-1": (functools.partial(moco_v3, 1.0), "a", METHOD_SHAPES),
    "moco-v3-0.05": (functools.partial(moco_v3, 0.05), "a", METHOD_SHAPES),
    "simsiam": (simsiam, "a", METHOD_SHAPES),
    "vicreg": (vicreg, "ab", METHOD_SHAPES + ONE_DIMENSION),
    "dino": (functools.partial(dino, 0.04), "a", METHOD_SHAPES),
    "w-mse-16": (functools.partial(w_mse, 16, 0.0), "ab", SLICED_SHAPES),
    "w-mse-64": (functools.partial(w_mse, 64, 0.0), "ab", WHITENING_SHAPES),
    "w-mse-64-shrunk": (functools.partial(w_mse, 64, 1e-2), "ab", WHITENING_SHAPES),
    "epps-pulley": (lambda a, b: epps_pulley(a), "a", METHOD_SHAPES + ONE_DIMENSION),
    "le-jepa": (le_jepa, "ab", ONE_DIMENSION),
}


def methods(name):
    agrees_with_lightly(*pair(64, 17, 1.0, 0.0))
    out = Output(
        name,
        "lightly's NTXentLoss, VICRegLoss, NegativeCosineSimilarity, DINOLoss; MoCo v3, W-MSE and LeJEPA from their "
        "papers' equations in PyTorch; f64",
    )
    for loss_name, (loss, learns, shapes) in METHODS.items():
        for batch, dim, scale, offset in shapes:
            case = f"{loss_name}/{batch}x{dim}x{scale:g}x{offset:g}"
            a, b = pair(batch, dim, scale, offset)
            a.requires_grad_("a" in learns)
            b.requires_grad_("b" in learns)
            value = loss(a, b)
            value.backward()
            out.add(f"{case}/loss", value)
            for side, z in [("a", a), ("b", b)]:
                if z.grad is not None:
                    out.add(f"{case}/grad_{side}", sampled(z.grad))
    out.write()
