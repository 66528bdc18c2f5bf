"""A Headstart task as a function of CVAT's automatic annotation (https://docs.cvat.ai/docs/api_sdk/sdk/auto-annotation/).

cvat-cli task auto-annotate 137 --function-module headstart_cvat -p task=str:task_01…
"""

from importlib.util import find_spec

if find_spec("cvat_sdk") is None:
    raise ModuleNotFoundError("cvat-sdk is not installed: pip install 'headstart-client[cvat]'", name="cvat_sdk")

from headstart_cvat.tagging import TaggingFunction, create

__all__ = ["TaggingFunction", "create"]
