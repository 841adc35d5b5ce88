//! ResNet encoders, projector and predictor heads for Burn, with torchvision's parameter names.
