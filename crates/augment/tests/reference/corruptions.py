"""What the authors' programs make of pictures.

The reference of crates/augment/tests/corruptions.rs.

    pip install -r requirements.txt
    git clone https://github.com/hendrycks/robustness
    python corruptions.py robustness corruptions.safetensors
    python corruptions.py robustness /tmp/photographs.safetensors FOLDER

The first makes the committed file, from two drawn pictures that both sides compute. The second
takes the photographs in a folder of class folders, and writes them too.

The functions are taken from `make_cifar_c.py` (for 32 pixels) and `make_imagenet_c.py` (for 224) as
they are. Some functions that they call are no longer in today's libraries. For each of these a
stand-in of the same meaning is below. ImageMagick's motion blur is that of the package
imagecorruptions.

In the file, for corruption, side and severity:
- `pixels/…`: u8, `[pictures, values]`, for corruptions without randomness; every
  `stride/<side>`-th value.
- `moments/…`: f32, `[3, 5]`: mean, deviation and number of draws of the statistics of `statistics`
  below.
- `input/<side>`: u8, `[pictures, side, side, 3]`, unless they are drawn.
"""

import ast
import importlib.metadata
import io
import os
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import skimage
from imagecorruptions.corruptions import _motion_blur
from PIL import Image
from safetensors.numpy import save_file
from scipy.ndimage import map_coordinates, zoom
from skimage.filters import gaussian

FIXED = ["defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"]
RANDOM = ["gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow", "frost", "fog",
          "elastic_transform"]
PROGRAMS = {32: "make_cifar_c.py", 224: "make_imagenet_c.py"}


class MotionImage:
    """Wand's image, with the one method that is called."""

    def __init__(self, blob):
        self.pixels = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_UNCHANGED)

    def motion_blur(self, radius, sigma, angle):
        blurred = _motion_blur(self.pixels.astype(np.float32), radius, sigma, angle)
        self.pixels = np.clip(np.round(blurred), 0, 255).astype(np.uint8)

    def make_blob(self):
        return cv2.imencode(".png", self.pixels)[1].tobytes()


def functions(path):
    """The functions of a program, without running it."""
    numpy = types.SimpleNamespace(**vars(np))
    numpy.float_, numpy.fromstring = np.float64, np.frombuffer
    image = types.SimpleNamespace(**{**vars(Image), "fromarray": lambda pixels, mode: Image.fromarray(pixels)})

    def smooth(x, sigma, multichannel=False, **rest):
        return gaussian(x, sigma, channel_axis=-1 if multichannel else None, **rest)

    scope = dict(np=numpy, sk=skimage, gaussian=smooth, BytesIO=io.BytesIO, PILImage=image, cv2=cv2, scizoom=zoom,
                 map_coordinates=map_coordinates, MotionImage=MotionImage)
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    exec(compile(tree, path, "exec"), scope)
    return scope


def drawn(side, k):
    """Waves, a disc and a little noise, from whole numbers."""
    y, x, c = np.meshgrid(np.arange(side), np.arange(side), np.arange(3), indexing="ij")
    u, v = x * 224 // side, y * 224 // side
    wave = np.abs((u * (2 + c) + v * (3 - c) + 90 * c + 40 * k) % 510 - 255)
    disc = (u - 112) ** 2 + (v - 90) ** 2 < 3600
    level = np.where(disc, wave // 3 + 140 - 50 * c, wave * 3 // 4)
    noise = (x * 7919 + y * 104729 + c * 1299709 + k * 15485863) * 2654435761 % 2**32 >> 28
    return np.clip(level + 16 + noise, 0, 255).astype(np.uint8)


def photographs(folder, side, count):
    files = sorted(Path(folder).glob("*/*"))
    for i in range(count):
        photo = Image.open(files[i * len(files) // count]).convert("RGB")
        yield np.array(photo.resize((side, side), Image.BICUBIC) if photo.size != (side, side) else photo)


def statistics(clean, corrupted):
    """Mean, deviation and absolute mean of the difference to the clean picture; then how much
    neighbours in the result differ, across and down. In levels."""
    clean, corrupted = clean.astype(np.float64), corrupted.astype(np.float64)
    difference = corrupted - clean
    across, down = np.abs(np.diff(corrupted, axis=1)).mean(), np.abs(np.diff(corrupted, axis=0)).mean()
    return [difference.mean(), difference.std(), np.abs(difference).mean(), across, down]


def main(checkout, out, folder=None):
    out = Path(out).resolve()
    folder = folder and Path(folder).resolve()
    # Where the photographs of frost are.
    os.chdir(Path(checkout) / "ImageNet-C" / "create_c")
    tensors = {}
    for side, program in PROGRAMS.items():
        if folder:
            pictures = list(photographs(folder, side, 300 if side == 32 else 12))
            tensors[f"input/{side}"] = np.stack(pictures)
            draws, stride = pictures, 1
        else:
            pictures = [drawn(side, k) for k in range(2)]
            draws = [pictures[0]] * (200 if side == 32 else 24)
            stride = max(1, pictures[0].size // 700)
            # All channels in turn.
            stride += stride % 3 == 0
        tensors[f"stride/{side}"] = np.array([stride], dtype=np.int32)
        scope = functions(Path(program))

        def corrupted(name, picture, severity):
            return np.uint8(scope[name](Image.fromarray(picture), severity))

        for severity in range(1, 6):
            for name in FIXED:
                results = [corrupted(name, picture, severity).reshape(-1)[::stride] for picture in pictures]
                tensors[f"pixels/{name}/{side}/{severity}"] = np.stack(results)
            for name in RANDOM:
                np.random.seed(severity)
                values = np.array([statistics(picture, corrupted(name, picture, severity)) for picture in draws])
                summary = [values.mean(0), values.std(0), np.full(5, len(values))]
                tensors[f"moments/{name}/{side}/{severity}"] = np.array(summary, dtype=np.float32)
            print(side, severity, flush=True)
    packages = ["numpy", "scipy", "scikit-image", "opencv-python-headless", "Pillow", "imagecorruptions"]
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, out, {"made_by": versions})


if __name__ == "__main__":
    main(*sys.argv[1:])
