"""Settings in, wired objects out; the only reader of the environment."""
