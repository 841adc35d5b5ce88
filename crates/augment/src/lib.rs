//! Random views of images on the CPU for self-supervised learning: the BYOL, Barlow Twins and CIFAR pairs.
