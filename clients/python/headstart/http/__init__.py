"""The connection to one server: its address, headers, retries, and replies that are not of this API."""
