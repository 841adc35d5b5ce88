"""Throughput of albumentations on one thread with the operations of BYOL's two views. See README.md.

Called with a folder that has train/CLASS/*.jpg; of these it takes those of the class `cat`.
"""
import glob
import os
import sys
import time

# It would ask the package index for a newer version when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np

cv2.setNumThreads(0)
cv2.ocl.setUseOpenCL(False)


def view(size, blur, solarize):
    """One view of BYOL (Grill et al., 2020, appendix B)."""
    steps = [
        A.RandomResizedCrop(
            (size, size), scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), interpolation=cv2.INTER_CUBIC, p=1.0
        ),
        A.HorizontalFlip(p=0.5),
        A.ColorJitter(
            brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.8, 1.2), hue=(-0.1, 0.1), p=0.8
        ),
        A.ToGray(p=0.2),
    ]
    # blur_limit 0 takes the kernel's width from sigma.
    if blur > 0:
        steps.append(A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=blur))
    # The images are 8-bit, for which the threshold is given as a share of 255.
    if solarize > 0:
        steps.append(A.Solarize(threshold_range=(128 / 255, 128 / 255), p=solarize))
    steps.append(A.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)))
    return A.Compose(steps, seed=0)


def pair(size, blurs):
    first, second = view(size, blurs[0], 0.0), view(size, blurs[1], 0.2)
    return lambda image: (first(image=image)["image"], second(image=image)["image"])


def decode(data):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def rate(views, inputs, prepare=lambda image: image):
    """Images a second in the second of two passes; the first one warms up."""
    for _ in range(2):
        start = time.perf_counter()
        for image in inputs:
            views(prepare(image))
        seconds = time.perf_counter() - start
    return len(inputs) / seconds


files = sorted(glob.glob(f"{sys.argv[1]}/train/cat/*.jpg"))[:500]
if not files:
    sys.exit(f"there is no {sys.argv[1]}/train/cat/*.jpg")
small = [decode(open(file, "rb").read()) for file in files]
print(f"32 px, two views: {rate(pair(32, (0.0, 0.0)), small):.0f} images/s")

large = [cv2.resize(image, (500, 375), interpolation=cv2.INTER_CUBIC) for image in small[:60]]
byol = pair(224, (1.0, 0.1))
print(f"224 px from 500x375, two views: {rate(byol, large):.0f} images/s")

quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
jpegs = [cv2.imencode(".jpg", cv2.cvtColor(x, cv2.COLOR_RGB2BGR), quality)[1].tobytes() for x in large]
print(f"224 px from JPEG, two views: {rate(byol, jpegs, decode):.0f} images/s")
