"""Writes the reference files of this folder: `python generate.py [NAME …]`.

Everything is computed in f64 by PyTorch, torchvision, lightly and scikit-learn of the versions in
requirements.txt, from inputs of common.py. Where no package has the rule (LARS with the combined
trust ratio, the paper's τ, the losses of MoCo v3, W-MSE and LeJEPA as we have them), it is written
out here in NumPy or PyTorch from the paper's equation.
Augmentations are the exception: they are computed as torchvision's users have them, in f32 and in
8 bits.
"""

import sys

import torch

import augmentation
import evaluation
import extremes
import networks
import objectives
import optimization
import trajectories

FILES = {
    "losses": objectives.losses,
    "methods": objectives.methods,
    "extremes": extremes.extremes,
    "layers": networks.layers,
    "resnets": networks.resnets,
    "torchvision-names": networks.torchvision_file,
    "optimizers": optimization.optimizers,
    "schedules": optimization.schedules,
    "trajectories": trajectories.trajectories,
    "evaluation": evaluation.evaluation,
    "augmentation": augmentation.augmentation,
}

if __name__ == "__main__":
    torch.manual_seed(0)
    for name in sys.argv[1:] or FILES:
        FILES[name](name)
