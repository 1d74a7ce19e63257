"""What the speed and memory of this project are, measured beside peers and physical limits: `python -m benchmarks`."""
