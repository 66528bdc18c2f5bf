"""Tasks as files that answer as the server does, without it: `headstart export`.

It imports `models/` alone. A task comes as the classifier that its server saves, and its backbone from the bundle.
"""
