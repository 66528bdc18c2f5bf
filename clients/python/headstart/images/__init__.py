"""Images on this side of the connection: the forms they come in, folders of them, loading and shrinking."""
