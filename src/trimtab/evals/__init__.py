"""What test suites said of a release. Running them is for others, for now: their reports are read."""
