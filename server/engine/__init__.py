"""The engine: finds, opens and runs bundles in batches, and decodes images for them."""
