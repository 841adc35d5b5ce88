"""Weighted k-NN with PyTorch, as lightly's `knn_predict` has it. See README.md.

Called with a folder of train.npy and test.npy, [rows, dim] f32, and train_labels.npy and
test_labels.npy, u32. The features are normalised before the clock starts.
"""
import os
import sys
import time

import numpy as np
import torch

K, TEMPERATURE = 200, 0.1

torch.set_num_threads(len(os.sched_getaffinity(0)))
folder = sys.argv[1]
bank, queries = (
    torch.nn.functional.normalize(torch.from_numpy(np.load(f"{folder}/{name}.npy")), dim=1)
    for name in ("train", "test")
)
labels, truth = (
    torch.from_numpy(np.load(f"{folder}/{name}_labels.npy").astype(np.int64)) for name in ("train", "test")
)
classes = int(labels.max()) + 1
columns = bank.t().contiguous()


def predict(block, matmul_only):
    predictions = []
    for start in range(0, len(queries), block):
        similarities = queries[start : start + block] @ columns
        if matmul_only:
            continue
        values, indices = similarities.topk(min(K, len(bank)), dim=1)
        scores = torch.zeros(len(values), classes)
        scores.scatter_add_(1, labels[indices], (values / TEMPERATURE).exp())
        predictions.append(scores.argmax(dim=1))
    return None if matmul_only else torch.cat(predictions)


with torch.no_grad():
    for block in [int(size) for size in sys.argv[2:]] or [512]:
        for matmul_only in (True, False):
            start = time.perf_counter()
            predictions = predict(block, matmul_only)
            seconds = time.perf_counter() - start
            if matmul_only:
                print(f"product alone, blocks of {block}: {seconds:.4f} s", flush=True)
            else:
                accuracy = (predictions == truth).double().mean().item()
                print(f"k-NN: {seconds:.4f} s, accuracy {accuracy:.4f}, blocks of {block}", flush=True)
