"""The connection to one server: its address, its headers, tries again, and replies that are not of this API."""
