"""What a refresh of very many tasks costs."""
