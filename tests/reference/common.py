"""What every reference generator shares: exact pseudo-random inputs, and the output file.

Inputs are not stored. They come from a hash of (seed, index) that the Rust tests compute too, and
every arithmetic step on the way to an input is a single correctly rounded f32 operation, so both
sides work on the same bits.
"""

import json
import pathlib

import numpy as np
import torch

FOLDER = pathlib.Path(__file__).parent
SAMPLES = 256


def unit(seed, count):
    """`count` f32 values in [0, 1), multiples of 2^-24: SplitMix64 of (seed, index)."""
    with np.errstate(over="ignore"):
        x = np.uint64(seed) * np.uint64(0xD1342543DE82EF95) + np.arange(1, count + 1, dtype=np.uint64)
        x *= np.uint64(0x9E3779B97F4A7C15)
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def noise(seed, *shape, scale=1.0, offset=0.0):
    """Uniform in [-scale, scale) + offset, f32 arithmetic, as a torch f64 tensor."""
    centred = unit(seed, int(np.prod(shape))) * np.float32(2) - np.float32(1)
    values = centred * np.float32(scale) + np.float32(offset)
    return torch.from_numpy(values.reshape(shape).astype(np.float64))


def images(seed, batch, side):
    """`[batch, 3, side, side]`: four quarters of one colour each, with finer noise on top.

    Images differ from each other as a whole, as photographs do; on plain noise they would all
    have nearly the same features, and batch norm would blow rounding up.
    """
    cells = unit(seed, batch * 3 * 4).reshape(batch, 3, 2, 2)
    coarse = np.repeat(np.repeat(cells, side // 2, axis=2), side // 2, axis=3) * np.float32(2) - np.float32(1)
    fine = unit(seed + 1, batch * 3 * side * side).reshape(batch, 3, side, side) - np.float32(0.5)
    return torch.from_numpy((coarse + fine * np.float32(0.5)).astype(np.float64))


def name_seed(name):
    """FNV-1a of a parameter's name."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    return value


def parameter(name, shape):
    """The initial value of a parameter or running statistic, by its name and shape."""
    count = int(np.prod(shape))
    u = unit(name_seed(name), count)
    if name.endswith("running_var"):
        values = u + np.float32(0.5)
    elif name.endswith("running_mean"):
        values = (u - np.float32(0.5)) * np.float32(0.2)
    elif len(shape) == 1:
        base = np.float32(0.75) if name.endswith("weight") else np.float32(-0.25)
        values = u * np.float32(0.5) + base
    else:
        # Uniform with He's variance 2 / fan_in.
        fan_in = int(np.prod(shape[1:]))
        bound = np.sqrt(np.float32(6) / np.float32(fan_in))
        values = (u * np.float32(2) - np.float32(1)) * bound
    return torch.from_numpy(values.reshape(shape).astype(np.float64))


def fill(module, rename=lambda name: name):
    """Gives a module the weights that belong to its names, in f64."""
    module.double()
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                value.copy_(parameter(rename(name), tuple(value.shape)))
    return module


def sampled(tensor):
    """At most 256 elements at a regular stride, which is enough to catch a wrong gradient."""
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // SAMPLES)][:SAMPLES].clone()


class Output:
    """Collects tensors and writes one safetensors file that says how it was made."""

    def __init__(self, name, how):
        self.name, self.how, self.tensors = name, how, {}

    def add(self, name, value):
        value = torch.as_tensor(value, dtype=torch.float64).detach().reshape(-1)
        assert torch.isfinite(value).all(), name
        self.tensors[name] = value.to(torch.float32)

    def write(self):
        import lightly
        import sklearn
        import torchvision
        from safetensors.torch import save_file

        versions = {
            "torch": torch.__version__.split("+")[0],
            "torchvision": torchvision.__version__.split("+")[0],
            "lightly": lightly.__version__,
            "scikit-learn": sklearn.__version__,
        }
        text = json.dumps({"generator": "tests/reference/generate.py", "how": self.how, **versions})
        path = FOLDER / f"{self.name}.safetensors"
        save_file(dict(sorted(self.tensors.items())), path, metadata={"selfsame": text})
        print(f"{path.name}: {len(self.tensors)} tensors, {path.stat().st_size / 1e3:.0f} kB", flush=True)
