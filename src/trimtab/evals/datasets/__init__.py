"""What releases are tried on: items from files, traffic and feedback, kept by their digest."""

from trimtab.evals.datasets.item import Item, item_key
from trimtab.evals.datasets.shaping import Shape, Shaped, in_split, shape

__all__ = ["Item", "Shape", "Shaped", "in_split", "item_key", "shape"]
