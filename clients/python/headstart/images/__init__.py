"""Images as callers have them, and as they are sent: in which forms, from which files, of what size."""
