"""A laboratory for LeNet: train, sweep and inspect it on Fashion-MNIST and MNIST."""
