"""A machine-learning backend of Label Studio that learns from each annotation, by a Headstart server.

Label Studio (https://github.com/HumanSignal/label-studio) calls it as `label_studio/ml/api_connector.py` and
`label_studio/webhooks/utils.py` of its release 1.23 do.
"""
