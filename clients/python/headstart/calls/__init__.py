"""Every call of the API, written once, as steps."""
