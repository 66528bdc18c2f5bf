"""The methods of continual learning, by name. A new method is one more file of this package that ends with its entry."""

from training.continual.learner import ContinualMethod
from training.entries import entries

METHODS = entries("training.continual", ContinualMethod)
