//! BYOL and Barlow Twins losses for Burn, computed in f32 and documented with their equations.
