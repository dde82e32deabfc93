"""A bundle as it lies on disk: what its files are, how they are read, and what is refused."""
