"""Public accidents and ordinary weeks as traces for `mailfuse simulate`: see README.md."""
