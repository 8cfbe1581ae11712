"""The data plane on the wire: OpenAI-compatible HTTP in front of the serving core."""
