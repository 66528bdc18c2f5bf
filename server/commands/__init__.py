"""Commands of `headstart-server` beside serving."""
