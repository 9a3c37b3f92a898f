"""One loss per file, and the normalisation of the ground truth: tensors in, tensors out."""
