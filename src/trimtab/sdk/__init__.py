"""The data plane inside a Python process."""
