"""Logistic regression with scikit-learn and with PyTorch's L-BFGS. See README.md.

Called with a folder of train.npy and test.npy, [rows, dim] f32, and train_labels.npy and
test_labels.npy, u32; then with `sklearn` or `torch`, and with C. Both minimise
C Σ loss + |W|² / 2 on standardised features. They start from zeros and stop when no component of
the gradient of the mean is above 1e-5. The clock runs from the features to the weights.
"""
import os
import sys
import time

import numpy as np

TOLERANCE, ITERATIONS = 1e-5, 1000

folder, what, c = sys.argv[1], sys.argv[2], float(sys.argv[3])
train, test = (np.load(f"{folder}/{name}.npy") for name in ("train", "test"))
labels, truth = (np.load(f"{folder}/{name}_labels.npy").astype(np.int64) for name in ("train", "test"))
classes = int(labels.max()) + 1


def report(start, weights, bias, mean, deviation, iterations):
    seconds = time.perf_counter() - start

    def scores(x):
        return ((x - mean) / deviation).astype(np.float64) @ weights.T + bias

    own = scores(train)
    most = own.max(axis=1)
    losses = most + np.log(np.exp(own - most[:, None]).sum(axis=1)) - own[np.arange(len(own)), labels]
    objective = losses.mean() + (weights**2).sum() / (2 * c * len(own))
    accuracy = (scores(test).argmax(axis=1) == truth).mean()
    figures = f"accuracy {accuracy:.4f}, objective {objective:.6f}, {iterations} iterations"
    print(f"linear probe: {seconds:.4f} s, {figures}")


def sklearn():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    start = time.perf_counter()
    scaler = StandardScaler().fit(train)
    model = LogisticRegression(C=c, tol=TOLERANCE, max_iter=ITERATIONS).fit(scaler.transform(train), labels)
    report(start, model.coef_, model.intercept_, scaler.mean_, scaler.scale_, int(model.n_iter_[0]))


def lbfgs():
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    start = time.perf_counter()
    x, y = torch.from_numpy(train), torch.from_numpy(labels)
    deviation, mean = torch.std_mean(x, dim=0, correction=0)
    x = (x - mean) / deviation
    weights = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, bias], max_iter=ITERATIONS, max_eval=2 * ITERATIONS, tolerance_grad=TOLERANCE,
        tolerance_change=0.0, history_size=10, line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weights.t() + bias, y)
        loss = loss + weights.square().sum() / (2 * c * len(x))
        loss.backward()
        return loss

    optimizer.step(closure)
    iterations = optimizer.state[weights]["n_iter"]
    weights, bias = (t.detach().double().numpy() for t in (weights, bias))
    report(start, weights, bias, mean.numpy(), deviation.numpy(), iterations)


{"sklearn": sklearn, "torch": lbfgs}[what]()
