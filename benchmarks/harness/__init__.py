"""What the benchmarks stand on: the kit, processes pinned and accounted, peers in environments of their own."""
