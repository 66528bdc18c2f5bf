"""What the project's claims rest on; each module is a command that prints its figures."""
