"""Makes `reference.tfevents` and `image.png`, which `src/tensorboard/tests.rs` compares with.

The records are made by PyTorch's and TensorBoard's own code:

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 tensorboard==2.21.0 numpy==2.4.6 pillow==13.0.0
    venv/bin/python make_reference.py
"""

from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import summary

HERE = Path(__file__).parent
WALL_TIME = 1_700_000_000.25


def main():
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7
    # Multiples of 1/64, so that every sum is exact in any order.
    values = ((np.arange(1000) * 37 % 1001) - 400) / 64.0
    image = summary.image("views", pixels, dataformats="HWC")
    (HERE / "image.png").write_bytes(image.value[0].image.encoded_image_string)
    step = 299
    events = [
        Event(wall_time=WALL_TIME, file_version="brain.Event:2"),
        Event(wall_time=WALL_TIME, session_log=SessionLog(status=SessionLog.START)),
        Event(wall_time=WALL_TIME, summary=summary.scalar("train/loss", 0.75)),
        Event(wall_time=WALL_TIME + 1, step=1, summary=summary.scalar("train/loss", 0.0)),
        Event(wall_time=WALL_TIME + 2, step=step, summary=summary.scalar("train/loss", float("inf"))),
        Event(wall_time=WALL_TIME + 2, step=step, summary=summary.histogram("embedding", values, bins=30)),
        Event(wall_time=WALL_TIME + 2, step=step, summary=image),
        Event(wall_time=WALL_TIME + 2, step=2**40, summary=summary.text("config", "*ö*\n")),
    ]
    with open(HERE / "reference.tfevents", "wb") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())


main()
