"""Throughput of lightly's BYOL views on one thread. See README.md.

Called with the folder of images that the bench writes: small/*.png and photographs/*.jpg.
"""
import glob
import sys
import time

import torch
from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform
from PIL import Image

torch.set_num_threads(1)


def read(file):
    """As torchvision's `ImageFolder` reads it."""
    with open(file, "rb") as opened:
        return Image.open(opened).convert("RGB")


def rate(views, inputs, prepare=lambda image: image):
    """Images a second in the second of two passes; the first one warms up."""
    for _ in range(2):
        start = time.perf_counter()
        for image in inputs:
            views(prepare(image))
        seconds = time.perf_counter() - start
    return len(inputs) / seconds


cifar = {"input_size": 32, "cj_strength": 0.5, "gaussian_blur": 0.0}
small = [read(file) for file in sorted(glob.glob(f"{sys.argv[1]}/small/*.png"))]
pair = BYOLTransform(BYOLView1Transform(**cifar), BYOLView2Transform(**cifar))
print(f"32 px, two views: {rate(pair, small):.0f} images/s")

files = sorted(glob.glob(f"{sys.argv[1]}/photographs/*.jpg"))
photographs = [read(file) for file in files]
pair = BYOLTransform()
print(f"224 px from pixels, two views: {rate(pair, photographs):.0f} images/s")
print(f"224 px from JPEG, two views: {rate(pair, files, read):.0f} images/s")
