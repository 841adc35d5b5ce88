"""Writes tests/preprocessing: images of many kinds, and what docs/preprocess.py makes of them.

    pip install numpy pillow safetensors torch torchvision
    python crates/data/tests/preprocessing.py

NAME.f32 holds `[3, 24, 24]` little-endian floats, with mean and deviation as in `SETTINGS`.
"""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent / "preprocessing"
sys.path.insert(0, str(Path(__file__).parents[3] / "docs"))
from preprocess import decode, preprocess  # noqa: E402

SETTINGS = {"size": 24, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}


def photograph(width, height, seed):
    """Amplitudes fall with frequency, as in photographs, and two edges cross the picture."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    noise = rng.standard_normal((3, height, width))
    planes = np.fft.irfft2(np.fft.rfft2(noise) / frequency, s=(height, width))
    planes = 0.8 * planes[:1] + 0.4 * planes
    y, x = np.mgrid[:height, :width]
    planes[0] += (3 * x > 2 * y) * 2.0 * planes.std()
    planes[2] += (x + y > width) * 1.5 * planes.std()
    planes = (planes - planes.mean()) / planes.std() * 55 + 120
    return Image.fromarray(planes.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def deep_png(values):
    """A PNG of 16 bits, which Pillow does not write in colour."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    color = {1: 0, 3: 2}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    body = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def main():
    HERE.mkdir(exist_ok=True)
    for old in HERE.iterdir():
        old.unlink()
    exif = Image.Exif()
    exif[0x0112] = 6
    wide, high, odd = photograph(75, 50, 0), photograph(41, 67, 1), photograph(53, 35, 2)
    wide.save(HERE / "420.jpg", quality=75, subsampling=2)
    high.save(HERE / "422-progressive.jpg", quality=85, subsampling=1, progressive=True)
    odd.save(HERE / "444.jpg", quality=92, subsampling=0)
    odd.save(HERE / "turned.jpg", quality=80, subsampling=2, exif=exif)
    high.convert("L").save(HERE / "grey.jpg", quality=80)
    odd.convert("CMYK").save(HERE / "cmyk.jpg", quality=85)
    transparent = odd.convert("RGBA")
    transparent.putalpha(photograph(53, 35, 3).convert("L"))
    transparent.save(HERE / "transparent.png")
    fine = np.random.default_rng(4).integers(-120, 120, (35, 53, 3))
    values = (np.asarray(odd).astype(int) * 257 + fine).clip(0, 65535)
    (HERE / "16-bit.png").write_bytes(deep_png(values))
    (HERE / "16-bit-grey.png").write_bytes(deep_png(values[..., 1:2]))
    photograph(17, 11, 5).save(HERE / "small.png")
    for image in sorted(HERE.iterdir()):
        pixels = preprocess(decode(image), SETTINGS).numpy()
        image.with_name(image.name + ".f32").write_bytes(pixels.astype("<f4").tobytes())


main()
