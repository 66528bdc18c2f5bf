"""Offline scoring: very many images to a Parquet file, by any number of tasks, where the images are.

The pieces are pure, so that several runners put them together: `sources` lists and reads images, `decode` makes pixels, `embed`
runs backbones, `classify` asks the tasks, and `write` makes Parquet. `run` is the runner of one machine, and `on_ray` that of a
Ray cluster.
"""
