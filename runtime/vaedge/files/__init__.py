"""Files of examples: arrays, images, atomic writes, and folders of shards."""
