"""Request bodies: multipart, JSON, raw images and zips, read at a bounded price."""
