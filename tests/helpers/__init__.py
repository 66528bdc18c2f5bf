"""What several tests use: real servers, images, bundles and uploads."""
