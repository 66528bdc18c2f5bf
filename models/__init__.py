"""What training makes and serving uses: backbones, bundles, heads. Imports nothing else of this project."""
