//! Frozen-feature evaluation: weighted k-NN, linear probe and collapse diagnostics.
