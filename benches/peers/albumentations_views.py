"""Throughput of albumentations on one thread with the operations of BYOL's two views.

See README.md.
Called with the folder of images that the bench writes: small/*.png and photographs/*.jpg.
"""
import glob
import os
import sys
import time

# It would ask the package index for a newer version when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2

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


def read(file):
    return cv2.cvtColor(cv2.imread(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def rate(views, inputs, prepare=lambda image: image):
    """Images a second in the second of two passes; the first one warms up."""
    for _ in range(2):
        start = time.perf_counter()
        for image in inputs:
            views(prepare(image))
        seconds = time.perf_counter() - start
    return len(inputs) / seconds


small = [read(file) for file in sorted(glob.glob(f"{sys.argv[1]}/small/*.png"))]
print(f"32 px, two views: {rate(pair(32, (0.0, 0.0)), small):.0f} images/s")

files = sorted(glob.glob(f"{sys.argv[1]}/photographs/*.jpg"))
photographs = [read(file) for file in files]
byol = pair(224, (1.0, 0.1))
print(f"224 px from pixels, two views: {rate(byol, photographs):.0f} images/s")
print(f"224 px from JPEG, two views: {rate(byol, files, read):.0f} images/s")
