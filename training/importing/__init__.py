"""From a network made elsewhere to a bundle."""
