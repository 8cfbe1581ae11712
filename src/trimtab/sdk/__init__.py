"""The data plane in your own process: resolve, render, record, and the clients you already use, wrapped."""
