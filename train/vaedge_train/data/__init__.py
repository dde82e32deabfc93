"""Readers of data sets: array files, tables, image folders, torchvision's data sets, and the digits of vaedge."""
