"""Makes the files in this folder: `pip install pyarrow pillow; python make.py`.

Each has six red images of 4 × 3 pixels, whose red is 10, 20, … 60, with labels of 0 to 5, in two
row groups with pages of both versions of the format.
"""

import io

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def png(red):
    out = io.BytesIO()
    Image.new("RGB", (4, 3), (red, 0, 0)).save(out, "PNG")
    return out.getvalue()


images = [{"bytes": png(10 * i), "path": None} for i in range(1, 7)]
image = pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
table = pa.table({"image": image, "label": pa.array(range(6), pa.int64())})
for codec in ["zstd", "brotli", "gzip", "lz4", "snappy"]:
    for version in ["1.0", "2.0"]:
        pq.write_table(
            table,
            f"{codec}-{version[0]}.parquet",
            compression=codec,
            row_group_size=3,
            data_page_version=version,
            write_statistics=False,
            store_schema=False,
        )
