//! Our numbers against PyTorch, torchvision, lightly and scikit-learn, from the committed files of
//! `tests/reference` (made by `generate.py` there; nothing here needs Python).

mod evaluation;
mod extremes;
mod layers;
mod losses;
mod methods;
mod optimization;
mod resnets;
