"""The main job end to end on embedded storage."""
