"""A search over the hyper-parameters of a recipe, scored on episodes of the validation classes."""
