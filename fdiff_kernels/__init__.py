"""Ground floor of fdiff: numerical kernels on plain arrays. Imports nothing of fdiff."""
