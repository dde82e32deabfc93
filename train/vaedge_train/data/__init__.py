"""Readers of data sets: array files, tables, image folders, and the data sets of torchvision."""
