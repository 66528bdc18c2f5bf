"""The engine: bundles found, opened and run in batches, and image bytes decoded for them."""
