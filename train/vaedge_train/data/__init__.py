"""Data sets: readers of array files, image folders and torchvision's data sets, and the sample that ships."""
