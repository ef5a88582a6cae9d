"""The people cared for: their record, their card, who looked at it."""
