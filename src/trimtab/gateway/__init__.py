"""The data plane as an OpenAI-compatible HTTP server."""
