//! Self-supervised training in Burn: BYOL, Barlow Twins, optimisers, schedules and checkpoints.
