"""The `headstart` command. It uses only the client's public methods."""
