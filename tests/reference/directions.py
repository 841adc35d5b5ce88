"""SIGReg's random directions, drawn here by the rules that our side draws them by.

ChaCha8 (Bernstein, 2008), keyed by PCG32 of the seed, gives 64 bits at a time. Marsaglia and
Tsang's ziggurat of 256 layers in Doornik's form (ZIGNOR, 2005) makes normal numbers of them. A
direction is `dim` of these at length 1.
"""

import math

import numpy as np

R, LAYERS = 3.6541528853610088, 256


def chacha8(seed):
    """An endless stream of 64 bits, as Python integers."""
    key, state = [], seed
    for _ in range(8):
        state = (state * 0x5851F42D4C957F2D + 0xA17654E46FBE17F3) % 2**64
        mixed, turn = ((state >> 18 ^ state) >> 27) % 2**32, state >> 59
        key.append((mixed >> turn | mixed << (32 - turn)) % 2**32)
    blocks, first = 1 << 14, 0
    while True:
        counter = np.arange(first, first + blocks, dtype=np.uint64)
        words = [int.from_bytes(b"expand 32-byte k"[i : i + 4], "little") for i in range(0, 16, 4)] + key
        start = [np.full(blocks, word, np.uint32) for word in words]
        start += [counter.astype(np.uint32), (counter >> np.uint64(32)).astype(np.uint32)]
        start += [np.zeros(blocks, np.uint32)] * 2
        x = [word.copy() for word in start]
        for _ in range(4):
            for i in range(4):
                quarter_round(x, i, 4 + i, 8 + i, 12 + i)
            for i in range(4):
                quarter_round(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
        words = np.stack([a + b for a, b in zip(x, start)], axis=1).astype("<u4")
        yield from words.reshape(-1).view("<u8").tolist()
        first += blocks


def quarter_round(x, a, b, c, d):
    for first, second, target, turn in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)]:
        x[first] += x[second]
        mixed = x[target] ^ x[first]
        x[target] = mixed << np.uint32(turn) | mixed >> np.uint32(32 - turn)


def density(x):
    return math.exp(-x * x / 2)


def ziggurat():
    """The layers' right ends and the density there."""
    # Of equal area: that of the lowest, which has the tail.
    area = R * density(R) + math.sqrt(math.pi / 2) * math.erfc(R / math.sqrt(2))
    ends = [area / density(R), R]
    while len(ends) < LAYERS:
        ends.append(math.sqrt(-2 * math.log(area / ends[-1] + density(ends[-1]))))
    ends.append(0.0)
    return ends, [density(x) for x in ends]


def normals(bits):
    """Standard normal numbers of a stream of bits."""
    ends, heights = ziggurat()
    while True:
        word = next(bits)
        layer, u = word & 0xFF, (word >> 12) * 2.0**-51 - 1
        x = u * ends[layer]
        if abs(x) < ends[layer + 1]:
            yield x
        elif layer == 0:
            # Marsaglia's tail beyond R.
            while True:
                a, b = (math.log(((next(bits) >> 12) + 0.5) * 2.0**-52) for _ in range(2))
                if -2 * b >= (a / R) ** 2:
                    break
            yield math.copysign(R - a / R, u)
        else:
            height = heights[layer + 1] + (heights[layer] - heights[layer + 1]) * (next(bits) >> 11) * 2.0**-53
            if height < density(x):
                yield x


def directions(dim, slices, seed):
    """`[dim, slices]`, columns of length 1, f64."""
    stream = normals(chacha8(seed))
    rows = np.fromiter(stream, np.float64, count=dim * slices).reshape(slices, dim)
    return (rows / np.sqrt((rows**2).sum(1, keepdims=True))).T.copy()
