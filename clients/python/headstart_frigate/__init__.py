"""A bridge between Frigate, a Headstart task and Home Assistant, over MQTT.

Frigate (https://docs.frigate.video/integrations/mqtt) publishes a JPEG of each object that it sees to
`frigate/CAMERA/OBJECT/snapshot`. The task's answer goes to `headstart/TASK/CAMERA/OBJECT` as JSON. Home Assistant makes a
sensor of each such topic by itself (https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery).
"""
