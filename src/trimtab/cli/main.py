"""Entry point of the `trimtab` command."""
