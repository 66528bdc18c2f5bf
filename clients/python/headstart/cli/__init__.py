"""The `headstart` command, on the client's public methods only."""
