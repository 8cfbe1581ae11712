"""What Trimtab tells other people's monitoring, in their formats, and what it takes from their tracing."""
