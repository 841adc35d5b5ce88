"""Augmentations as torchvision does them, and the distributions of its random parameters.

The pictures are 8-bit and computed on both sides from the hash of common.py or from integer
arithmetic, so none is stored. Two references:

- `tensor`: torchvision.transforms.v2.functional on f32 tensors in [0, 1] (v / 255), stored as
  16-bit levels.
- `pil`: the same functions on PIL images, stored as bytes.

A tensor's name is `operation/reference/picture/parameter/…`; crates/augment/tests/torchvision.rs
reads the case back from it. Distributions are `distribution/…`: see
crates/augment/tests/distributions.rs.
"""

import json
import math

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import ColorJitter, GaussianBlur, InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as classic
from torchvision.transforms.v2 import functional as F

from common import FOLDER, unit

# Per stored result; of larger ones every n-th value is stored.
VALUES = 900
DRAWS = 200_000

POINTS = [(1, 1), (1, 7), (5, 1), (2, 3), (13, 11), (31, 29), (32, 32), (96, 64)]
KINDS = ["noise", "smooth"]
FLAT = [(f"{kind}-{w}x{h}", (w, h)) for kind in ("black", "white", "constant", "grey") for w, h in [(1, 1), (4, 3)]]


def picture(name):
    """`[height, width, 3]` u8, from a name such as noise-96x64."""
    kind, size = name.split("-")
    width, height = map(int, size.split("x"))
    if kind in ("noise", "mild"):
        values = (unit(width * 1000 + height, height * width * 3) * np.float32(256)).astype(np.uint8)
        # Mild noise is within [64, 191].
        return (values if kind == "noise" else 64 + values // 2).reshape(height, width, 3)
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    if kind == "smooth":
        # Waves of different length and direction in the three channels.
        phase = x * (5 + 2 * c) + y * (7 - 3 * c) + 90 * c
        values = np.abs(phase % 510 - 255)
    elif kind == "grey":
        values = (x * 17 + y * 40) % 256
    elif kind == "constant":
        values = 77 + 60 * c
    else:
        values = np.full_like(x, {"black": 0, "white": 255}[kind])
    return values.astype(np.uint8)


def thinned(values):
    """About VALUES of them at a stride that shares no factor with their number."""
    flat = values.reshape(-1)
    stride = -(-len(flat) // VALUES)
    while math.gcd(stride, len(flat)) != 1:
        stride += 1
    return flat[::stride]


class Cases:
    def __init__(self):
        self.tensors = {}

    def store(self, name, values):
        assert name not in self.tensors, name
        self.tensors[name] = np.ascontiguousarray(values)

    def tensor(self, operation, name, parameters, function):
        """`function` on a tensor `[3, height, width]`; what overshoots is clamped, as ours is."""
        image = torch.from_numpy(picture(name)).permute(2, 0, 1).contiguous()
        image = image.to(torch.float32) / 255
        result = function(image).clamp(0, 1).double().numpy()
        result = np.round(result * 65535).astype(np.uint16)
        self.store("/".join([operation, "tensor", name, *map(str, parameters)]), thinned(result))

    def pil(self, operation, name, parameters, function):
        result = np.asarray(function(Image.fromarray(picture(name)))).transpose(2, 0, 1)
        self.store("/".join([operation, "pil", name, *map(str, parameters)]), thinned(np.ascontiguousarray(result)))

    def both(self, operation, name, parameters, function):
        self.tensor(operation, name, parameters, function)
        self.pil(operation, name, parameters, function)


def single(value):
    """The f32 that the other side computes with."""
    return float(np.float32(value))


def resizes(cases):
    # (width, height, window x, y, width, height, to width, height)
    shapes = [
        (1, 1, 0, 0, 1, 1, 1, 1),
        (1, 1, 0, 0, 1, 1, 5, 3),
        (1, 7, 0, 0, 1, 7, 3, 4),
        (5, 1, 0, 0, 5, 1, 2, 6),
        (2, 3, 0, 0, 2, 3, 64, 48),
        (13, 11, 0, 0, 13, 11, 1, 1),
        (13, 11, 2, 1, 10, 7, 17, 19),
        (31, 29, 3, 5, 23, 19, 7, 11),
        (32, 32, 0, 0, 32, 32, 32, 32),
        (32, 32, 4, 7, 21, 18, 32, 32),
        (32, 32, 31, 31, 1, 1, 32, 32),
        (96, 64, 0, 0, 96, 64, 224, 224),
        (96, 64, 11, 3, 80, 60, 48, 48),
        (250, 187, 0, 0, 250, 187, 56, 56),
        (250, 187, 101, 53, 89, 97, 56, 56),
        (200, 200, 0, 0, 200, 200, 5, 5),
        (200, 3, 0, 0, 200, 3, 5, 200),
    ]
    beyond = []
    for width, height, x, y, w, h, to_width, to_height in shapes:
        for kind in [*KINDS, "mild", "black", "white", "constant"] if width == 13 else [*KINDS, "mild"]:
            for mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC):
                name = f"{kind}-{width}x{height}"
                parameters = [f"{x}x{y}x{w}x{h}", f"{to_width}x{to_height}", mode.value]

                def function(image):
                    return F.resized_crop(image, y, x, h, w, [to_height, to_width], mode, antialias=True)

                cases.tensor("resize", name, parameters, function)
                # PIL clips to 8 bits between its two passes, which changes what overshoots.
                if kind == "mild" or mode == InterpolationMode.BILINEAR:
                    cases.pil("resize", name, parameters, function)
                else:
                    exact = function(torch.from_numpy(picture(name)).permute(2, 0, 1) / 255).clamp(0, 1) * 255
                    pil = np.asarray(function(Image.fromarray(picture(name)))).transpose(2, 0, 1)
                    beyond.append(np.abs(exact.numpy() - pil).reshape(-1))
    beyond = np.concatenate(beyond)
    print(f"PIL's bicubic, full contrast: worst {beyond.max():.1f}/255, {(beyond > 1).mean():.2%} beyond 1/255")


def points(cases):
    pictures = [f"{kind}-{w}x{h}" for w, h in POINTS for kind in KINDS] + [name for name, _ in FLAT]
    for name in pictures:
        cases.both("flip", name, [], F.horizontal_flip)
        cases.both("grayscale", name, [], lambda image: F.rgb_to_grayscale(image, num_output_channels=3))
        for threshold in (0.0, 0.5, single(128 / 255), 1.0):
            cases.tensor("solarize", name, [threshold], lambda image: F.solarize(image, threshold))
            # The first level that the tensors' threshold selects.
            level = int((np.arange(256, dtype=np.float32) / np.float32(255) < np.float32(threshold)).sum())
            cases.pil("solarize", name, [threshold], lambda image: F.solarize(image, level))
        for factor in (0.0, 0.6, 2.0, 10.0):
            cases.tensor("brightness", name, [factor], lambda image: F.adjust_brightness(image, factor))
        for factor in (0.0, single(0.7), single(1.8), 10.0):
            cases.tensor("contrast", name, [factor], lambda image: F.adjust_contrast(image, factor))
            cases.tensor("saturation", name, [factor], lambda image: F.adjust_saturation(image, factor))
        for factor in (-0.5, single(-0.1), 0.25, 0.5):
            cases.tensor("hue", name, [factor], lambda image: F.adjust_hue(image, factor))


def blurs(cases):
    for width, height in POINTS:
        for kind in KINDS:
            for sigma, radius in [(0.1, 1), (0.5, 2), (1.0, 3), (2.0, 6), (2.0, 11), (5.0, 15)]:
                # torchvision reflects once and refuses what would need more.
                if radius < min(width, height):
                    cases.tensor(
                        "blur",
                        f"{kind}-{width}x{height}",
                        [single(sigma), radius],
                        lambda image: F.gaussian_blur(image, [2 * radius + 1] * 2, [single(sigma)] * 2),
                    )
    for name, size in FLAT:
        if min(size) > 1:
            cases.tensor("blur", name, [2.0, 2], lambda image: F.gaussian_blur(image, [5, 5], [2.0, 2.0]))


def check_interfaces():
    """The v2 functions and the classic ones agree, so naming one reference is enough."""
    image = torch.from_numpy(picture("noise-31x29")).permute(2, 0, 1).to(torch.float32) / 255
    for new, old in [
        (F.adjust_brightness(image, 1.8), classic.adjust_brightness(image, 1.8)),
        (F.adjust_contrast(image, 1.8), classic.adjust_contrast(image, 1.8)),
        (F.adjust_saturation(image, 1.8), classic.adjust_saturation(image, 1.8)),
        (F.adjust_hue(image, 0.25), classic.adjust_hue(image, 0.25)),
        (F.rgb_to_grayscale(image), classic.rgb_to_grayscale(image)),
        (F.solarize(image, 0.5), classic.solarize(image, 0.5)),
        (F.gaussian_blur(image, [7, 7], [1.0, 1.0]), classic.gaussian_blur(image, [7, 7], [1.0, 1.0])),
        (F.resize(image, [11, 7], antialias=True), classic.resize(image, [11, 7], antialias=True)),
    ]:
        assert (new - old).abs().max() < 1e-5


def hue_of_pil():
    """How far PIL's hue, quantised to 256 steps, is from the float one: printed, not stored."""
    for name in ("noise-96x64", "smooth-96x64"):
        pixels = picture(name)
        image = torch.from_numpy(pixels).permute(2, 0, 1).to(torch.float32) / 255
        for factor in (-0.5, -0.1, 0.25, 0.5):
            pil = np.asarray(F.adjust_hue(Image.fromarray(pixels), factor)).transpose(2, 0, 1)
            error = np.abs(F.adjust_hue(image, factor).numpy() * 255 - pil)
            share = (error > 1).mean()
            print(f"PIL's hue, {name}, {factor:+}: worst {error.max():.1f}/255, {share:.1%} beyond 1/255")


def distribution(cases, name, draws):
    """2001 points of the empirical distribution function; exact at each, ties included."""
    draws = np.sort(np.asarray(draws, dtype=np.float64).astype(np.float32))
    points = np.unique(draws[np.linspace(0, len(draws) - 1, 2001).round().astype(int)])
    shares = np.searchsorted(draws, points, side="right") / len(draws)
    cases.store(f"distribution/{name}/points", points)
    cases.store(f"distribution/{name}/shares", shares.astype(np.float32))


def distributions(cases):
    torch.manual_seed(0)
    # (width, height, scale, ratio): the published crop, a small image, and ones too narrow or too
    # wide, where draws are rejected and the fallback steps in.
    for width, height, scale, ratio in [
        (500, 375, (0.08, 1.0), (0.75, 4 / 3)),
        (32, 32, (0.2, 1.0), (0.75, 4 / 3)),
        (300, 80, (0.08, 1.0), (0.75, 4 / 3)),
        (40, 1000, (0.08, 1.0), (0.75, 4 / 3)),
    ]:
        image = torch.empty(3, height, width)
        windows = np.array([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(DRAWS)])
        top, left, h, w = windows.astype(np.float64).T
        name = f"crop-{width}x{height}-{scale[0]}"
        distribution(cases, f"{name}/area", w * h / (width * height))
        distribution(cases, f"{name}/ratio", w / h)
        distribution(cases, f"{name}/left", (left + 0.5) / (width - w + 1))
        distribution(cases, f"{name}/top", (top + 0.5) / (height - h + 1))
    for name, strengths in [("published", (0.4, 0.4, 0.2, 0.1)), ("strong", (1.5, 0.8, 3.0, 0.5))]:
        jitter = ColorJitter(*strengths)
        ranges = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        draws = [ColorJitter.get_params(*ranges)[1:] for _ in range(DRAWS)]
        for part, values in zip(("brightness", "contrast", "saturation", "hue"), np.array(draws).T):
            distribution(cases, f"jitter-{name}/{part}", values)
    distribution(cases, "blur/sigma", [GaussianBlur.get_params(0.1, 2.0) for _ in range(DRAWS)])


def augmentation(name):
    import PIL
    import torchvision
    from safetensors.numpy import save_file

    check_interfaces()
    hue_of_pil()
    cases = Cases()
    resizes(cases)
    points(cases)
    blurs(cases)
    distributions(cases)
    versions = {
        "torch": torch.__version__.split("+")[0],
        "torchvision": torchvision.__version__.split("+")[0],
        "pillow": PIL.__version__,
    }
    how = (
        "torchvision.transforms.v2.functional on f32 tensors in [0, 1] and on PIL images; "
        f"distributions: {DRAWS} draws of torchvision's get_params each"
    )
    text = json.dumps({"generator": "tests/reference/generate.py", "how": how, "draws": DRAWS, **versions})
    path = FOLDER / f"{name}.safetensors"
    save_file(dict(sorted(cases.tensors.items())), path, metadata={"selfsame": text})
    print(f"{path.name}: {len(cases.tensors)} tensors, {path.stat().st_size / 1e3:.0f} kB", flush=True)
