"""What runs on the gateway: reads the configuration and the machine, and brings the two together."""

__version__ = "0.1.0"
