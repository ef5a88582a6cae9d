"""What runs on a microcontroller beside the gateway."""
