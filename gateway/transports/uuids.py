"""Short and long Bluetooth UUIDs, and the address in a BlueZ path. What a UUID stands for the drivers know."""

BASE = "-0000-1000-8000-00805f9b34fb"  # the Bluetooth base UUID, which every SIG number is a short form of


def long_uuid(short: str) -> str:
    """The full form of a short UUID: 1808 -> 00001808-0000-..."""
    return f"0000{short}{BASE}" if len(short) == 4 else short


def short_uuid(full: str) -> str:
    """The short form in lower case where there is one."""
    full = full.lower()
    return full[4:8] if full.startswith("0000") and full.endswith(BASE) else full


def address_of(path: str) -> str:
    """The Bluetooth address in a BlueZ object path: /org/bluez/hci0/dev_C4_5E_... -> C4:5E:..."""
    return path.rpartition("dev_")[2][:17].replace("_", ":")
