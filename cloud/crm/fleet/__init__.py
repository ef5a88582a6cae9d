"""The gateways: where each one stands and how it is."""
