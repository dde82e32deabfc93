"""Read examples from files, and write results: arrays, images, tables, and folders of shards."""
