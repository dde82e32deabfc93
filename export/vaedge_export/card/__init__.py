"""The model card: README.md of a bundle, and its images."""
