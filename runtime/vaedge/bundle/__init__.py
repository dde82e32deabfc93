"""Read and strictly validate the files of a bundle, and check the content of the graphs."""
