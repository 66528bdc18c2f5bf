"""The server as an application of Ray Serve, for who runs Ray already.

    serve run server.on_ray:application data_dir=/var/lib/headstart database_url=postgresql://headstart@db/headstart

`Api` is the server with all its routes, its store and its heads. Its batchers make batches of all tasks' images, as everywhere.
`Engines` embeds them: a call of it is a batch, and is routed by bundle. So Serve never sees a task, and no task splits a batch.
"""

from server.on_ray.deployments import application

__all__ = ["application"]
