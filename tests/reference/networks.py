"""Layers, heads and encoders."""

import json

import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock

from common import FOLDER, Output, fill, images, noise, sampled


def mlp(dims, hidden_bias, output_bias):
    """Linear, batch norm, ReLU, …, linear, under our names."""

    class Layer(nn.Module):
        def __init__(self, i, o, last):
            super().__init__()
            self.linear = nn.Linear(i, o, bias=output_bias if last else hidden_bias)
            self.norm = None if last else nn.BatchNorm1d(o)

        def forward(self, x):
            x = self.linear(x)
            return x if self.norm is None else torch.relu(self.norm(x))

    class Mlp(nn.Module):
        def __init__(self):
            super().__init__()
            last = len(dims) - 2
            self.layers = nn.ModuleList(Layer(dims[i], dims[i + 1], i == last) for i in range(last + 1))

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    return Mlp()


class SmallResNet(nn.Module):
    """ResNet-18 of torchvision's own blocks, of any width, with the CIFAR stem."""

    def __init__(self, width, classifier=False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for stage in range(4):
            blocks = []
            for i in range(2):
                to, stride = width << stage, 2 if stage > 0 and i == 0 else 1
                down = None
                if stride != 1 or channels != to:
                    down = nn.Sequential(nn.Conv2d(channels, to, 1, stride, bias=False), nn.BatchNorm2d(to))
                blocks.append(BasicBlock(channels, to, stride, down))
                channels = to
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        if classifier:
            self.fc = nn.Linear(channels, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean((2, 3))


def gradients(out, case, module, x, inputs_only=False):
    """Output, and the gradients of Σ y·w for a fixed w with respect to the input and parameters."""
    x = x.clone().requires_grad_()
    y = module(x)
    weight = noise(977, *y.shape)
    (y * weight).sum().backward()
    out.add(f"{case}/output", sampled(y))
    out.add(f"{case}/grad_input", sampled(x.grad))
    if not inputs_only:
        for name, p in module.named_parameters():
            out.add(f"{case}/grad/{name}", sampled(p.grad))


def layers(name):
    out = Output(name, "torch.nn.BatchNorm1d/2d and Linear, f64; gradients of sum(output * noise(977))")
    for shape, scale, offset in [((8, 5), 1, 0), ((64, 128), 2, 100), ((4, 6, 7, 5), 1, 0), ((2, 3, 1, 1), 1, 0), ((16, 8, 14, 14), 3, -10)]:
        case = "batch-norm/" + "x".join(map(str, shape))
        norm = fill(nn.BatchNorm1d(shape[1]) if len(shape) == 2 else nn.BatchNorm2d(shape[1]))
        norm.train()
        for batch in range(2):
            norm(noise(500 + batch, *shape, scale=scale, offset=offset))
        gradients(out, f"{case}/train", norm, noise(502, *shape, scale=scale, offset=offset))
        out.add(f"{case}/running_mean", norm.running_mean)
        out.add(f"{case}/running_var", norm.running_var)
        norm.zero_grad()
        norm.eval()
        gradients(out, f"{case}/eval", norm, noise(503, *shape, scale=scale, offset=offset), inputs_only=True)
    heads = {
        "byol": mlp([24, 48, 16], True, False),
        "barlow-twins": mlp([24, 40, 40, 40], False, False),
    }
    for head_name, head in heads.items():
        fill(head).train()
        gradients(out, f"head/{head_name}/train", head, noise(504, 32, 24))
        head.eval()
        gradients(out, f"head/{head_name}/eval", head, noise(505, 32, 24), inputs_only=True)
    out.write()


def resnets(name):
    out = Output(name, "torchvision.models.resnet18/34/50 without fc, and the CIFAR stem put in place; f64")
    for arch in ["resnet18", "resnet34", "resnet50"]:
        for stem, side in [("imagenet", 64), ("cifar", 16)]:
            net = getattr(torchvision.models, arch)(weights=None)
            net.fc = nn.Identity()
            if stem == "cifar":
                net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
                net.maxpool = nn.Identity()
            fill(net)
            for mode in ["eval", "train"]:
                net.train(mode == "train")
                gradients(out, f"{arch}/{stem}/{mode}", net, images(600, 4, side), inputs_only=True)
                net.zero_grad()
    out.write()


def torchvision_file(name):
    """A whole `state_dict` as torchvision's users save it: classifier and batch counters included."""
    from safetensors.torch import save_file

    net = fill(SmallResNet(2, classifier=True)).float().eval()
    how = "state_dict() of torchvision's blocks as a ResNet-18 of width 2, by save_file, as users do it"
    metadata = {"format": "pt", "selfsame": json.dumps({"generator": "tests/reference/generate.py", "how": how})}
    save_file(net.state_dict(), FOLDER / f"{name}.safetensors", metadata=metadata)
    out = Output(f"{name}-features", "features of torchvision-names.safetensors, f64")
    out.add("features", net.double()(images(610, 2, 16)))
    out.write()
