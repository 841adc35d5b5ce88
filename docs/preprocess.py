"""The images of an encoder as it is evaluated on them, and its features, without Selfsame.

    pip install numpy pillow safetensors torch torchvision
    python docs/preprocess.py RUN FILE...              # prints the first features of each image
    python docs/preprocess.py RUN FILE... --out X.npy  # one row of features for each image

It reads RUN/preprocessing.json and RUN/encoder.safetensors. docs/PREPROCESSING.md has the rules.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors import safe_open
from torch.nn.functional import interpolate
from torchvision.io import ImageReadMode, decode_image
from torchvision.models import resnet


def decode(path):
    """An image file in RGB, 8 bits, upright: `[height, width, 3]`."""
    with Image.open(path) as image:
        deep = image.format == "PNG" and Path(path).read_bytes()[24] == 16
        orientation = image.getexif().get(0x0112, 1)
        if not deep:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    # Pillow drops the low byte of 16 bits, or clips them. They are rounded.
    image = decode_image(str(path), ImageReadMode.UNCHANGED).numpy().transpose(1, 2, 0)
    image = (image.astype(np.float64) / 257 + 0.5).astype(np.uint8)
    image = image[..., :3] if image.shape[2] >= 3 else image[..., :1].repeat(3, 2)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = Image.fromarray(image)
    upright.info["exif"] = exif.tobytes()
    return np.asarray(ImageOps.exif_transpose(upright))


def preprocess(rgb, settings):
    """`[height, width, 3]` of 8 bits → `[3, size, size]`, what the encoder takes."""
    side = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    square = torch.from_numpy(rgb[top : top + side, left : left + side].copy())
    square = square.permute(2, 0, 1)[None].double() / 255
    size = [settings["size"]] * 2
    square = interpolate(square, size, mode="bilinear", antialias=True, align_corners=False)[0]
    mean, std = (torch.tensor(settings[key], dtype=torch.float64) for key in ("mean", "std"))
    return ((square - mean[:, None, None]) / std[:, None, None]).float()


def encoder(path):
    """The encoder as torchvision has it, which knows the layers by the same names."""
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["selfsame"])["encoder"]
        weights = {name: file.get_tensor(name) for name in file.keys()}
    width = about["base_width"]
    deep = about["architecture"] == "resnet50"
    block = resnet.Bottleneck if deep else resnet.BasicBlock
    layers = [2, 2, 2, 2] if about["architecture"] == "resnet18" else [3, 4, 6, 3]
    model = resnet.ResNet(block, layers)
    model.fc = torch.nn.Identity()
    for module in model.modules():
        narrow(module, width)
    if about["stem"] == "cifar":
        model.conv1 = torch.nn.Conv2d(3, width, 3, 1, 1, bias=False)
        model.maxpool = torch.nn.Identity()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    assert not missing and not unexpected, (missing, unexpected)
    return model.eval()


def narrow(module, width):
    """Divides a layer's channels, which torchvision fixes at multiples of 64."""
    scale = lambda channels: channels if channels == 3 else channels * width // 64
    if isinstance(module, torch.nn.Conv2d):
        shape = (scale(module.out_channels), scale(module.in_channels), *module.kernel_size)
        module.weight = torch.nn.Parameter(torch.empty(shape))
    if isinstance(module, torch.nn.BatchNorm2d):
        features = scale(module.num_features)
        module.__init__(features)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("images", nargs="+", metavar="FILE")
    parser.add_argument("--out", type=Path, metavar="FILE.npy")
    args = parser.parse_args()
    settings = json.loads((args.run / "preprocessing.json").read_text())
    model = encoder(args.run / "encoder.safetensors")
    rows = []
    with torch.no_grad():
        for path in args.images:
            image = preprocess(decode(path), settings)
            rows.append(model(image[None])[0].numpy())
            if not args.out:
                print(path, *(f"{value:.5f}" for value in rows[-1][:4]), "…")
    if args.out:
        np.save(args.out, np.stack(rows))


if __name__ == "__main__":
    main()
