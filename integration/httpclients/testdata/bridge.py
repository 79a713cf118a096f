"""Sends with kafka-bridge-client, a client of Strimzi's bridge: bridge.py URL."""
import sys

from kafka_bridge_client import KafkaBridgeProducer, Message
from kafka_bridge_client.exceptions import KafkaBridgeResourceException

producer = KafkaBridgeProducer(sys.argv[1], timeout=20)
for i in range(50):
    assert producer.sends("bridge", [Message(key="k", value="text %d" % i), Message(key=None, value="more")])
assert producer.sends("bridge", [Message(key="k", value=b"\x00\xff")], binary=True)
try:
    producer.sends("not a topic", [Message(key="k", value="x")])
except KafkaBridgeResourceException:
    pass
else:
    sys.exit("a topic's name that Kafka does not allow was taken")
