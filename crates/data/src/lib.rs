//! Image data sets, decoding, shuffling and prefetched batches of augmented views.
