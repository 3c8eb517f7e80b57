"""What `make bench` runs: ratios against other tools, side by side in one run."""
