"""Readers of array files, image folders and torchvision's data sets, and a sample of MNIST."""
