"""The files of a bundle: reading, strict validation, and the checks of its graphs."""
