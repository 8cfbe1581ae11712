"""Use cases of the control plane, over ports that storage implements."""
