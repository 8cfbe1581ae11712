"""Libraries that do, in the caller's process, a part of what the SDK does. Each opens one case: a call by unit."""
