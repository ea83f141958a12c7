"""Agreement of the exported networks with PyTorch; needs the training packages."""
