"""k-NN by lightly and logistic regression by scikit-learn, on the same features."""

import numpy as np
import torch
from lightly.utils.benchmarking import knn_predict
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from common import Output, noise, unit

CLASSES, DIM, BANK, QUERIES = 10, 24, 2000, 500


def features(seed, rows):
    """Class centres plus noise; labels 0, 1, …, 9, 0, …; rows of different lengths."""
    labels = np.arange(rows) % CLASSES
    centres = noise(700, CLASSES, DIM, scale=0.5).float()
    x = noise(seed, rows, DIM).float() + centres[labels]
    lengths = torch.from_numpy(unit(seed + 1, rows) + np.float32(0.5))
    return x * lengths[:, None], labels


def evaluation(name):
    out = Output(name, "lightly.utils.benchmarking.knn_predict in f64; sklearn LogisticRegression after StandardScaler")
    (bank, bank_labels), (queries, query_labels) = features(701, BANK), features(703, QUERIES)
    normalize = lambda x: torch.nn.functional.normalize(x.double(), dim=1)
    for k, t in [(1, 0.1), (5, 0.5), (20, 0.07), (200, 0.1), (2000, 0.02)]:
        order = knn_predict(normalize(queries), normalize(bank).t(), torch.from_numpy(bank_labels), CLASSES, knn_k=k, knn_t=t)
        predictions = order[:, 0]
        print("knn", k, t, (predictions.numpy() == query_labels).mean())
        out.add(f"knn/{k}/{t:g}", predictions)
    scaler = StandardScaler().fit(bank.double().numpy())
    x, y = scaler.transform(bank.double().numpy()), scaler.transform(queries.double().numpy())
    for c in [1e-3, 1e-1, 1.0]:
        model = LogisticRegression(C=c, max_iter=5000, tol=1e-10).fit(x, bank_labels)
        predictions = model.predict(y)
        print("logistic", c, (predictions == query_labels).mean())
        out.add(f"logistic/{c:g}", predictions)
    out.write()
